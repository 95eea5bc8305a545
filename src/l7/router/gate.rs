//! A first look at a path: its first sixteen bytes against those that a rule's paths have in common.
//!
//! A comparison of two registers: of a hundred rules without a host it leaves the few whose conditions are worth a look, and
//! regular expressions that begin with a text are not run in vain.
#![forbid(unsafe_code)]

/// A rule that may apply, by its index in order of priority.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) gate: Gate,
    pub(super) rule: usize,
}

/// What a path has to begin with; all pass the default.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gate {
    mask: u128,
    bytes: u128,
}

impl Gate {
    pub(super) fn new(beginning: &[u8]) -> Self {
        let length = beginning.len().min(GATE_BYTES);
        let mut mask = [0; GATE_BYTES];
        mask[..length].fill(u8::MAX);
        Gate { mask: u128::from_le_bytes(mask), bytes: head(beginning) }
    }

    /// Whether a path with this head may begin so. A path that ends early has zeros there, which no rule's path has.
    pub(super) fn admits(self, head: u128) -> bool {
        head & self.mask == self.bytes
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
            prop_assert!(Gate::new(&beginning).admits(head(&path)));
        }
    }

    #[test]
    fn a_gate_refuses_what_begins_otherwise() {
        let gate = Gate::new(b"/api/");
        assert!(gate.admits(head(b"/api/")));
        for path in [&b"/api"[..], b"/apx/", b"", b"/a", b"/static/picture.png"] {
            assert!(!gate.admits(head(path)));
        }
        assert!(Gate::default().admits(head(b"*")));
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
