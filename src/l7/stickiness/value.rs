//! The value of a cookie, sealed and opened.
//!
//!     version  issued, unix s  tag   MAC(key; version issued tag, scope)
//!     |  1   |       5       |  8  |        16        |   = 30 bytes = 40 characters of base64url, no padding
//!
//! The MAC is BLAKE3 in keyed mode, because each sticky request pays for an open and a seal: with a group name of up to 46 bytes
//! it is one compression, 84 ns on an EPYC core, in plain SSE. HMAC-SHA-256 took 127 ns there with its pads hashed ahead and 210 ns
//! without, and that is with the SHA instructions, which not every host has. `benches/micro/sticky.rs` has the whole.
//! Keys have no number in the value: a number would tell clients about rotations, and save a hash only while one is going on.
//!
//! Always: 30 bytes have one form in base64url, and it is the only one accepted, so no two texts are the same value.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use crate::config::limits;

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
        let scope = Scope::Targets { group };
        self.all().map(move |key| {
            Tag(hash(
                key,
                &[&[TAG, kind], &address.octets(), &target.port().to_be_bytes(), &scope.kind(), scope.name()],
            ))
        })
    }

    /// The tags of a group that a rule forwards to, in the same order.
    pub fn group_tags(&self, listener: &str, rule: Option<u16>, group: &str) -> impl Iterator<Item = Tag> {
        let scope = Scope::Groups { listener, rule };
        self.all().map(move |key| {
            let group_bytes = (group.len() as u64).to_be_bytes();
            Tag(hash(key, &[&[TAG], &group_bytes, group.as_bytes(), &scope.kind(), scope.name()]))
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

impl Scope<'_> {
    fn kind(&self) -> [u8; 3] {
        match self {
            Scope::Targets { .. } => [TARGETS, 0, 0],
            // Priorities begin at 1.
            Scope::Groups { rule, .. } => {
                let [high, low] = rule.unwrap_or(0).to_be_bytes();
                [GROUPS, high, low]
            }
        }
    }

    fn name(&self) -> &[u8] {
        match self {
            Scope::Targets { group } => group.as_bytes(),
            Scope::Groups { listener, .. } => listener.as_bytes(),
        }
    }
}

fn mac(key: &Key, maced: &[u8], scope: Scope<'_>) -> [u8; MAC_BYTES] {
    hash(key, &[&[MAC], maced, &scope.kind(), scope.name()])
}

/// The keyed hash of parts. Each caller begins with its purpose, gives parts of a known length, and the name of the scope last: so
/// no two inputs are the same bytes.
///
/// What is in one piece takes 84 ns, what the hasher is fed piecemeal 108: so the pieces are put together first.
fn hash<const BYTES: usize>(key: &Key, parts: &[&[u8]]) -> [u8; BYTES] {
    let mut message = [0; MESSAGE_BYTES];
    let mut message_bytes = 0;
    for part in parts {
        let Some(place) = message.get_mut(message_bytes..message_bytes + part.len()) else {
            return cut(&hash_of_long(key, parts));
        };
        place.copy_from_slice(part);
        message_bytes += part.len();
    }
    cut(&blake3::keyed_hash(key, &message[..message_bytes]))
}

/// The same for names that no config has.
#[cold]
fn hash_of_long(key: &Key, parts: &[&[u8]]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

fn cut<const BYTES: usize>(hash: &blake3::Hash) -> [u8; BYTES] {
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

/// Room for what is hashed: with names as long as the config allows, a MAC takes 98 bytes and a target's tag 103.
const MESSAGE_BYTES: usize = 128;
const _: () = assert!(1 + MACED_BYTES + 3 + limits::NAME_BYTES_MAX <= MESSAGE_BYTES);

/// Purposes of a hash.
const MAC: u8 = b'm';
const TAG: u8 = b't';
/// Kinds of scope.
const TARGETS: u8 = b'T';
const GROUPS: u8 = b'G';
