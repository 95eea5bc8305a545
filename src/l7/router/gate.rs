//! A first look at a path: sixteen of its bytes against those that a rule's paths have in common.
//!
//!     rule   /catalogue/items/99/       the last sixteen of what its paths begin with
//!     path   /catalogue/items/17/pictures
//!                ^^^^^^^^^^^^^^^^
//!
//! A comparison of two registers: of a hundred rules without a host it leaves the few whose conditions are worth a look, and
//! regular expressions that begin with a text are not run in vain. The last ones, since paths of one application begin alike.
#![forbid(unsafe_code)]

/// A rule that may apply, by its index in order of priority.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) gate: Gate,
    pub(super) rule: usize,
}

/// What a path has to begin with, as far as it is looked at; all pass the default.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gate {
    /// Where the bytes are, when not at the beginning.
    at: usize,
    mask: u128,
    bytes: u128,
}

impl Gate {
    pub(super) fn new(beginning: &[u8]) -> Self {
        let at = beginning.len().saturating_sub(GATE_BYTES);
        let last = &beginning[at..];
        let mut mask = [0; GATE_BYTES];
        mask[..last.len()].fill(u8::MAX);
        Gate { at, mask: u128::from_le_bytes(mask), bytes: head(last) }
    }

    /// Whether a path, whose head this is, may begin so. A short one has zeros at its end, which no rule's path has.
    pub(super) fn admits(self, path: &[u8], head: u128) -> bool {
        if self.at == 0 {
            return head & self.mask == self.bytes;
        }
        let bytes = path.get(self.at..).and_then(<[u8]>::first_chunk);
        bytes.is_some_and(|bytes| u128::from_le_bytes(*bytes) == self.bytes)
    }
}

/// The beginning of a path, for `admits`.
pub(super) fn head(path: &[u8]) -> u128 {
    if let Some(first) = path.first_chunk() {
        return u128::from_le_bytes(*first);
    }
    let mut head = [0; GATE_BYTES];
    head[..path.len()].copy_from_slice(path);
    u128::from_le_bytes(head)
}

/// What all of them begin with.
pub(super) fn common_beginning(beginnings: &[Vec<u8>]) -> &[u8] {
    let Some((first, others)) = beginnings.split_first() else { return b"" };
    let common = |other: &Vec<u8>| first.iter().zip(other).take_while(|(one, another)| one == another).count();
    let length = others.iter().map(common).min().unwrap_or(first.len());
    &first[..length]
}

const GATE_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Gate, common_beginning, head};

    proptest! {
        #[test]
        fn a_gate_admits_what_begins_so(beginning in any::<Vec<u8>>(), rest in any::<Vec<u8>>()) {
            let path = [beginning.clone(), rest].concat();
            prop_assert!(Gate::new(&beginning).admits(&path, head(&path)));
        }
    }

    #[test]
    fn a_gate_refuses_what_begins_otherwise() {
        let admits = |beginning: &[u8], path: &[u8]| Gate::new(beginning).admits(path, head(path));
        assert!(admits(b"/api/", b"/api/"));
        for path in [&b"/api"[..], b"/apx/", b"", b"/a", b"/static/picture.png"] {
            assert!(!admits(b"/api/", path));
        }
        assert!(admits(b"/catalogue/items/9/", b"/catalogue/items/9/a"));
        for path in [&b"/catalogue/items/8/a"[..], b"/catalogue/items/9", b"/catalogue/", b""] {
            assert!(!admits(b"/catalogue/items/9/", path));
        }
        assert!(admits(b"", b"*"));
    }

    #[test]
    fn what_several_paths_begin_with_is_found() {
        let beginnings = |paths: &[&str]| paths.iter().map(|path| path.as_bytes().to_vec()).collect::<Vec<_>>();
        assert_eq!(common_beginning(&beginnings(&["/api/v1", "/api/v2"])), b"/api/v");
        assert_eq!(common_beginning(&beginnings(&["/api"])), b"/api");
        assert_eq!(common_beginning(&beginnings(&["/api", ""])), b"");
        assert_eq!(common_beginning(&[]), b"");
    }
}
