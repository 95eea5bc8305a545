//! Ids and names: of instances, interfaces, regions, networks.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::refusal::{Field, Refusal, Why};
use crate::config::limits;

/// An id or a name: 1 to 80 letters, digits, dots, underscores or hyphens, as all names of the config.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Id(Arc<str>);

impl Id {
    /// Takes a text for an id.
    ///
    /// # Errors
    /// It has other characters, none, or too many.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Id, Refusal> {
        let text = text.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if (1..=limits::NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Id(text));
        }
        let shown: String = text.chars().take(limits::NAME_BYTES_MAX).collect();
        let mend = format!("use 1 to {} letters, digits, dots, underscores or hyphens", limits::NAME_BYTES_MAX);
        Err(Refusal::new(Why::NotAName, Field::Id, format!("{shown:?} is not a name"), mend))
    }
}

impl TryFrom<String> for Id {
    type Error = Refusal;

    fn try_from(text: String) -> Result<Id, Refusal> {
        Id::new(text)
    }
}

impl From<Id> for Arc<str> {
    fn from(id: Id) -> Arc<str> {
        id.0
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl Deref for Id {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// So that maps can be asked by text.
impl Borrow<str> for Id {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}
