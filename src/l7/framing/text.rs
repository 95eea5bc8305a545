//! The text of a head, of a request as of a response: its bytes so far and, once it was read, where the fields are in them.

use super::fields::{self, Field, Kind, Options};
use super::limits::{FIELD_BYTES_MAX, FIELDS_KEPT, HEAD_BYTES_KEPT, REQUEST_LINE_BYTES_MAX, RESPONSE_HEAD_BYTES_MAX};
use super::lines::Lines;
use super::request::Version;
use super::write::{self, Fate, Names};

/// No line of a head that is this short is past a limit.
const AT_ONCE_BYTES_MAX: usize = 8 << 10;
const _: () = assert!(
    AT_ONCE_BYTES_MAX <= REQUEST_LINE_BYTES_MAX
        && AT_ONCE_BYTES_MAX <= RESPONSE_HEAD_BYTES_MAX
        && AT_ONCE_BYTES_MAX <= FIELD_BYTES_MAX
);

/// See the module's header.
#[derive(Debug, Clone, Default)]
pub(super) struct Text {
    /// All so far; after the head was read as it was read, mended where it had to be.
    pub(super) bytes: Vec<u8>,
    pub(super) lines: Lines,
    pub(super) fields: Vec<Field>,
}

impl Text {
    /// Empty again. Keeps a small capacity, gives a large one back.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.lines = Lines::default();
        if self.bytes.capacity() > HEAD_BYTES_KEPT {
            self.bytes.shrink_to(HEAD_BYTES_KEPT);
        }
        if self.fields.capacity() > FIELDS_KEPT {
            self.fields.shrink_to(FIELDS_KEPT);
        }
    }

    /// What of a first piece of input may be read without a look at each line: no line of it is past a limit.
    pub(super) fn at_once<'i>(&self, input: &'i [u8]) -> Option<&'i [u8]> {
        let is_first = self.bytes.is_empty() && !matches!(input.first(), None | Some(b'\r' | b'\n'));
        is_first.then(|| &input[..input.len().min(AT_ONCE_BYTES_MAX)])
    }

    /// Name and value of each field.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (field.name(&self.bytes), field.value(&self.bytes)))
    }

    /// The values of the fields of this name, any case.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + Clone {
        let named = move |field: &&Field| field.name(&self.bytes).eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(named).map(|field| field.value(&self.bytes))
    }

    /// The value of `Upgrade`, in 1.1 and where `Connection` says so, once (RFC 9110, 7.8); see `fields::protocol`.
    pub(super) fn upgrade(&self, options: Options, version: Version) -> Option<&[u8]> {
        if !options.upgrade || version == Version::Http10 {
            return None;
        }
        let mut fields = self.fields.iter().filter(|field| field.kind == Kind::Upgrade);
        let field = fields.next()?;
        if fields.next().is_some() { None } else { fields::protocol(field.value(&self.bytes)) }
    }

    /// What becomes of a field that says nothing about framing: `Connection` may name it, or `names`.
    pub(super) fn fate_of_plain(&self, field: &Field, options: Options, names: &Names<'_>) -> Fate<'static> {
        let is_named = options.names_fields && write::is_named_by_connection(field, &self.bytes, &self.fields);
        if is_named || names.contain(field.name(&self.bytes)) { Fate::Drop } else { Fate::Keep }
    }
}
