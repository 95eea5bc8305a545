//! The value of a cookie, sealed and opened.
//!
//!     version  issued, unix s  tag   MAC(key; version issued tag, scope)
//!     |  1   |       5       |  8  |        16        |   = 30 bytes = 40 characters of base64url, no padding
//!
//! The MAC is BLAKE3 in keyed mode: with a group name of up to 46 bytes a seal is one compression of 64 bytes, where HMAC-SHA-256
//! takes four (two with its pads hashed ahead), and each sticky request pays for an open and a seal. `benches/micro/sticky.rs`.
//! Keys have no number in the value: a number would tell clients about rotations, and save a hash only while one is going on.
//!
//! Always: 30 bytes have one form in base64url, and it is the only one accepted, so no two texts are the same value.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::keys::{Key, Keys};

/// A target within its group, or a group within its rule: a keyed hash, which reveals neither name nor address. Eight bytes: of
/// the 8,000 tags of 1,000 targets under 8 keys two are alike in one of 10^11 groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag([u8; TAG_BYTES]);

/// Where a cookie means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// It names a target of a group (requirements S1, S2).
    Targets {
        /// Name of the group.
        group: &'a str,
    },
    /// It names a group of a rule that forwards to several (requirement R3).
    Groups {
        /// Name of the listener.
        listener: &'a str,
        /// Priority of the rule; `None` is the default action.
        rule: Option<u16>,
    },
}

impl Keys {
    /// The tags of a target: under the current key first, then under the old ones. A shard maps all of them to the target, and
    /// gives the first one to [`Keys::seal`].
    pub fn target_tags(&self, group: &str, target: SocketAddr) -> impl Iterator<Item = Tag> {
        let (kind, address) = match target.ip() {
            IpAddr::V4(ip) => (4, ip.to_ipv6_mapped()),
            IpAddr::V6(ip) => (6, ip),
        };
        self.all().map(move |key| {
            let mut hasher = hasher(key, TAG);
            hasher.update(&[kind]).update(&address.octets()).update(&target.port().to_be_bytes());
            tag(hasher, Scope::Targets { group })
        })
    }

    /// The tags of a group that a rule forwards to, in the same order.
    pub fn group_tags(&self, listener: &str, rule: Option<u16>, group: &str) -> impl Iterator<Item = Tag> {
        self.all().map(move |key| {
            let mut hasher = hasher(key, TAG);
            hasher.update(&(group.len() as u64).to_be_bytes()).update(group.as_bytes());
            tag(hasher, Scope::Groups { listener, rule })
        })
    }

    /// The value of a cookie that is issued now, unix seconds, under the current key.
    #[must_use]
    pub fn seal(&self, scope: Scope<'_>, tag: Tag, now: u64) -> [u8; VALUE_BYTES] {
        let mut sealed = [0; SEALED_BYTES];
        sealed[0] = VERSION;
        sealed[ISSUED].copy_from_slice(&now.to_be_bytes()[8 - ISSUED_BYTES..]);
        sealed[TAGGED].copy_from_slice(&tag.0);
        let mac = mac(self.current(), &sealed[..MACED_BYTES], scope);
        sealed[MACED_BYTES..].copy_from_slice(&mac);

        let mut value = [0; VALUE_BYTES];
        let encoded = URL_SAFE_NO_PAD.encode_slice(sealed, &mut value);
        debug_assert_eq!(encoded, Ok(VALUE_BYTES));
        value
    }

    /// Whom a cookie names; `None` when it is forged, of another scope, or over: from the second on in which it is `duration`
    /// (whole seconds) old.
    #[must_use]
    pub fn open(&self, scope: Scope<'_>, value: &[u8], now: u64, duration: Duration) -> Option<Tag> {
        if value.len() != VALUE_BYTES {
            return None;
        }
        let mut sealed = [0; SEALED_BYTES];
        URL_SAFE_NO_PAD.decode_slice(value, &mut sealed).ok()?;
        let (maced, mac_received) = sealed.split_at(MACED_BYTES);
        if sealed[0] != VERSION || !is_current(issued(maced), now, duration) {
            return None;
        }
        let sealed_by = |key| bool::from(mac(key, maced, scope).ct_eq(mac_received));
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&maced[TAGGED]);
        self.all().any(sealed_by).then_some(Tag(tag))
    }
}

/// A cookie of the future is refused, unless the clocks of two nodes explain it.
fn is_current(issued: u64, now: u64, duration: Duration) -> bool {
    issued <= now.saturating_add(CLOCK_SKEW_S_MAX) && now < issued.saturating_add(duration.as_secs())
}

/// When a value was issued, unix seconds.
fn issued(maced: &[u8]) -> u64 {
    maced[ISSUED].iter().fold(0, |issued, &byte| issued << 8 | u64::from(byte))
}

fn mac(key: &Key, maced: &[u8], scope: Scope<'_>) -> [u8; MAC_BYTES] {
    let mut hasher = hasher(key, MAC);
    hasher.update(maced);
    finish(hasher, scope)
}

fn tag(hasher: blake3::Hasher, scope: Scope<'_>) -> Tag {
    Tag(finish(hasher, scope))
}

/// What is hashed begins with its purpose, so that a MAC is never a tag.
fn hasher(key: &Key, purpose: u8) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&[purpose]);
    hasher
}

/// The scope comes last: what is ahead of it has a length of its own, so no two inputs are the same bytes.
fn finish<const BYTES: usize>(mut hasher: blake3::Hasher, scope: Scope<'_>) -> [u8; BYTES] {
    match scope {
        Scope::Targets { group } => hasher.update(&[TARGETS, 0, 0]).update(group.as_bytes()),
        // Priorities begin at 1.
        Scope::Groups { listener, rule } => {
            let [high, low] = rule.unwrap_or(0).to_be_bytes();
            hasher.update(&[GROUPS, high, low]).update(listener.as_bytes())
        }
    };
    let hash = hasher.finalize();
    let mut bytes = [0; BYTES];
    bytes.copy_from_slice(&hash.as_bytes()[..BYTES]);
    bytes
}

/// Length of a value.
pub const VALUE_BYTES: usize = SEALED_BYTES / 3 * 4;
/// Grows when the form of a value changes: older ones are then over.
const VERSION: u8 = 1;
/// How far the clock of the node that issued a cookie may be ahead of ours. Ours: NTP keeps nodes within a second.
const CLOCK_SKEW_S_MAX: u64 = 10;

/// Unix seconds in five bytes last for 34,000 years.
const ISSUED_BYTES: usize = 5;
const TAG_BYTES: usize = 8;
/// 128 bits: nobody guesses one.
const MAC_BYTES: usize = 16;
const ISSUED: std::ops::Range<usize> = 1..1 + ISSUED_BYTES;
const TAGGED: std::ops::Range<usize> = ISSUED.end..ISSUED.end + TAG_BYTES;
const MACED_BYTES: usize = TAGGED.end;
const SEALED_BYTES: usize = MACED_BYTES + MAC_BYTES;
// Neither padding nor bits to spare: a value has one form.
const _: () = assert!(SEALED_BYTES.is_multiple_of(3));

/// Purposes of a hash.
const MAC: u8 = b'm';
const TAG: u8 = b't';
/// Kinds of scope.
const TARGETS: u8 = b'T';
const GROUPS: u8 = b'G';
