//! The keys of `webhook_key_file`: what reports to webhooks are signed with, as Standard Webhooks 1.0.0 has it.
//!
//!     one key a line: whsec_BASE64      id.timestamp.body --HMAC-SHA256, each key--> v1,BASE64 v1,BASE64
//!
//! Each report is signed with every key, so that none is refused while keys change: put a new one into the file on every node,
//! give it to the receivers, take the old one out.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::snapshot::Snapshot;
use crate::inventory::{Field, Refusal, ScalingGroup, Why};

/// Keys that reports are signed with: one or more.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookKeys(Arc<[Vec<u8>]>);

/// A secret is not printed.
impl fmt::Debug for WebhookKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookKeys({})", self.0.len())
    }
}

/// What is wrong with a `webhook_key_file`, and how to mend it. It quotes nothing of the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WebhookKeysError {
    /// It has no line with a key.
    #[error("it holds no key; make one: echo \"whsec_$(openssl rand -base64 32)\"")]
    Empty,
    /// A line is no key.
    #[error(
        "line {line}: a key is whsec_ and the base64 of {KEY_BYTES_MIN} to {KEY_BYTES_MAX} random bytes; \
         make one: echo \"whsec_$(openssl rand -base64 32)\""
    )]
    NotAKey {
        /// Which line, from 1.
        line: usize,
    },
    /// There are too many.
    #[error("line {line}: more than {KEYS_MAX} keys; take out those that no receiver asks for any more")]
    TooMany {
        /// The first line too many, from 1.
        line: usize,
    },
}

impl WebhookKeys {
    /// Reads the text of a `webhook_key_file`: a key a line. Empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, WebhookKeysError> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let (typed, line) = (line.trim(), index + 1);
            if typed.is_empty() || typed.starts_with('#') {
                continue;
            }
            let decoded = typed.strip_prefix(KEY_PREFIX).and_then(|typed| STANDARD.decode(typed).ok());
            let key = decoded.filter(|key| (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()));
            let key = key.ok_or(WebhookKeysError::NotAKey { line })?;
            if keys.len() == KEYS_MAX {
                return Err(WebhookKeysError::TooMany { line });
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(WebhookKeysError::Empty) } else { Ok(WebhookKeys(keys.into())) }
    }

    /// The value of `webhook-signature` for a report of this id that is sent at this time, in seconds of Unix.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: u64, body: &str) -> String {
        let signed = format!("{id}.{timestamp}.{body}");
        let signature = |key: &Vec<u8>| {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), signed.as_bytes());
            format!("v1,{}", STANDARD.encode(tag))
        };
        self.0.iter().map(signature).collect::<Vec<_>>().join(" ")
    }
}

impl Snapshot {
    /// Whether what a scaling group reports can be signed. Ask it of each one that comes from beside the file; the file's own
    /// are asked when it is read. One that is here all the same is not reported, and a line of the log says so.
    ///
    /// # Errors
    /// It reports to a webhook, and there is no `webhook_key_file`.
    pub fn check_webhook(&self, group: &ScalingGroup) -> Result<(), Refusal> {
        if group.reported_to().is_none() || self.webhook_keys.is_some() {
            return Ok(());
        }
        Err(no_key())
    }
}

pub(super) fn no_key() -> Refusal {
    let what = "there is no webhook_key_file in [balancer], and reports to a webhook are signed";
    Refusal::new(Why::NoWebhookKey, Field::Webhook, what, "add webhook_key_file = \"webhook.key\" to [balancer]")
}

/// As Standard Webhooks 1.0.0 serializes a symmetric key.
const KEY_PREFIX: &str = "whsec_";
/// Standard Webhooks 1.0.0: 192 to 512 bits.
const KEY_BYTES_MIN: usize = 24;
/// See `KEY_BYTES_MIN`.
const KEY_BYTES_MAX: usize = 64;
/// Each costs a signature of every report. Ours: a rotation needs two.
const KEYS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the reference libraries of Standard Webhooks.
    const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn key(bytes: usize) -> String {
        format!("{KEY_PREFIX}{}", STANDARD.encode(vec![7; bytes]))
    }

    #[test]
    fn r_g9_a_report_is_signed_as_standard_webhooks_does() {
        let keys = WebhookKeys::parse(KEY).expect("a key");
        let (id, body) = ("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", r#"{"email":"test@example.com","username":"test_user"}"#);
        let known = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
        assert_eq!(keys.sign(id, 1_649_367_553, body), known);
        assert_ne!(keys.sign(id, 1_649_367_554, body), known);
        let two = WebhookKeys::parse(&format!("# new\n{}\n\n  {KEY}\n", key(32))).expect("two keys");
        let signed = two.sign(id, 1_649_367_553, body);
        let signatures: Vec<&str> = signed.split(' ').collect();
        assert_eq!((signatures.len(), signatures[1]), (2, known));
    }

    #[test]
    fn r_g9_a_key_file_has_one_to_four_keys_of_24_to_64_bytes() {
        let not_a_key = |line| Err(WebhookKeysError::NotAKey { line });
        for good in [key(24), key(64), vec![key(24); KEYS_MAX].join("\r\n")] {
            assert!(WebhookKeys::parse(&good).is_ok(), "{good}");
        }
        for bad in [
            key(23),
            key(65),
            key(32).replace(KEY_PREFIX, ""),
            key(32).replace(KEY_PREFIX, "whsk_"),
            format!("{KEY} {KEY}"),
            format!("{KEY}="),
            KEY_PREFIX.to_owned(),
            "5a".repeat(32),
            "whsec_\u{e4}".to_owned(),
        ] {
            assert_eq!(WebhookKeys::parse(&bad), not_a_key(1), "{bad}");
            assert_eq!(WebhookKeys::parse(&format!("{KEY}\n{bad}")), not_a_key(2));
        }
        assert_eq!(WebhookKeys::parse("# none\n\n"), Err(WebhookKeysError::Empty));
        assert_eq!(WebhookKeys::parse(&[KEY; 5].join("\n")), Err(WebhookKeysError::TooMany { line: 5 }));
    }

    #[test]
    fn a_key_is_not_printed() {
        let keys = WebhookKeys::parse(KEY).expect("a key");
        assert_eq!(format!("{keys:?}"), "WebhookKeys(1)");
        assert!(!WebhookKeys::parse("whsec_5eCr3t").expect_err("too short").to_string().contains("5eCr3t"));
    }
}
