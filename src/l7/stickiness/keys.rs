//! The secrets of `secret_file`: what cookies are sealed with, and what they may have been sealed with before.
//!
//!     one secret a line --KDF--> [ current | previous ... ]      a new cookie: current; one that arrives: any of them
//!
//! To rotate: put a new line on top of the file on every node, reload; take the old one out when the longest `duration` is over.

use std::fmt;
use std::iter;

use thiserror::Error;

/// Keys of the cookies of stickiness.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    current: Key,
    previous: Vec<Key>,
}

/// What the hash takes.
pub(super) type Key = [u8; blake3::KEY_LEN];

/// A secret is not printed.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", 1 + self.previous.len())
    }
}

/// What is wrong with a `secret_file`, and how to mend it. It quotes nothing of the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeysError {
    /// It has no line with a secret.
    #[error("it holds no secret; make one: openssl rand -hex 32")]
    Empty,
    /// A line is no secret.
    #[error(
        "line {line}: a secret is {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} visible ASCII characters without spaces; \
         make one: openssl rand -hex 32"
    )]
    NotASecret {
        /// Which line, from 1.
        line: usize,
    },
    /// There are too many.
    #[error("line {line}: more than {KEYS_MAX} secrets; take out those whose cookies are over")]
    TooMany {
        /// The first line too many, from 1.
        line: usize,
    },
}

impl Keys {
    /// Reads the text of a `secret_file`: a secret a line, the current one first. Empty lines and those that begin with `#`
    /// are skipped.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let (secret, line) = (line.trim(), index + 1);
            if secret.is_empty() || secret.starts_with('#') {
                continue;
            }
            if !is_secret(secret) {
                return Err(KeysError::NotASecret { line });
            }
            if keys.len() == KEYS_MAX {
                return Err(KeysError::TooMany { line });
            }
            keys.push(blake3::derive_key(KEY_CONTEXT, secret.as_bytes()));
        }
        let mut keys = keys.into_iter();
        let current = keys.next().ok_or(KeysError::Empty)?;
        Ok(Keys { current, previous: keys.collect() })
    }

    /// One key from 32 random bytes, for a balancer without a `secret_file`: its cookies mean nothing to other nodes, nor to
    /// itself after a restart.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Keys { current: blake3::derive_key(KEY_CONTEXT, &bytes), previous: Vec::new() }
    }

    /// What new cookies are sealed with.
    pub(super) fn current(&self) -> &Key {
        &self.current
    }

    /// The current key, then the old ones in the order of the file.
    pub(super) fn all(&self) -> impl Iterator<Item = &Key> {
        iter::once(&self.current).chain(&self.previous)
    }
}

fn is_secret(text: &str) -> bool {
    (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Shorter secrets are not 128 bits, even when every character is a random hex digit.
const SECRET_BYTES_MIN: usize = 32;
/// Ours: longer ones are another kind of file.
const SECRET_BYTES_MAX: usize = 1024;
/// Each costs a hash for a cookie that is not of the keys before it. Ours: a rotation needs two.
const KEYS_MAX: usize = 8;
/// Keeps these keys apart from any other use of the same secret (BLAKE3, 6.1: hardcoded, globally unique).
const KEY_CONTEXT: &str = "weir 2026-11-21 stickiness cookies";
