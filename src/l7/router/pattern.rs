//! Patterns with `*` (any bytes, also none) and `?` (one byte): hosts, paths, header values, parameters of the query.
//!
//!     "/img/*/th?mb*.png"   first "/img/"   inner "/th?mb"   last ".png"      each found leftmost, in what the one before left
//!
//! Leftmost is enough: a later place would leave less to the pieces after it. So nothing is ever tried again, and a text costs
//! at most its length times the longest piece; no pattern makes it exponential.
//! As in ALB, `\*` and `\?` are the characters themselves, and `\\` is a backslash.
#![forbid(unsafe_code)]

use std::iter::Peekable;
use std::str::Bytes;

use memchr::{memchr2_iter, memmem};

/// Whether `a` is `A`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Kept,
    Ignored,
}

#[derive(Debug, Clone)]
pub(super) struct Pattern {
    case: Case,
    shape: Shape,
}

#[derive(Debug, Clone)]
enum Shape {
    Exact(Piece),
    Wild { first: Piece, inner: Box<[Piece]>, last: Piece },
}

/// What stands between two `*`.
#[derive(Debug, Clone)]
enum Piece {
    Plain(Box<[u8]>),
    /// With a `?`, which is `None`.
    Holed(Box<[Option<u8>]>),
}

impl Pattern {
    pub(super) fn new(text: &str, case: Case) -> Self {
        let mut pieces = vec![Vec::new()];
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            let token = match byte {
                b'*' => {
                    pieces.push(Vec::new());
                    continue;
                }
                b'?' => None,
                b'\\' => Some(escaped(&mut bytes)),
                byte => Some(byte),
            };
            if let Some(piece) = pieces.last_mut() {
                piece.push(token);
            }
        }
        let last = pieces.pop().unwrap_or_default();
        if pieces.is_empty() {
            return Pattern { case, shape: Shape::Exact(Piece::new(&last)) };
        }
        let first = Piece::new(&pieces.remove(0));
        let inner = pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| Piece::new(piece)).collect();
        Pattern { case, shape: Shape::Wild { first, inner, last: Piece::new(&last) } }
    }

    /// All that begins so; it has no wildcards.
    pub(super) fn prefix(text: &str) -> Self {
        let empty = Piece::Plain(Box::default());
        let shape = Shape::Wild { first: Piece::Plain(text.as_bytes().into()), inner: Box::default(), last: empty };
        Pattern { case: Case::Kept, shape }
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        match &self.shape {
            Shape::Exact(piece) => text.len() == piece.len() && piece.begins(text, self.case),
            Shape::Wild { first, inner, last } => {
                let Some(length) = text.len().checked_sub(last.len()) else { return false };
                let (mut rest, end) = text.split_at(length);
                if !first.begins(rest, self.case) || !last.begins(end, self.case) {
                    return false;
                }
                rest = &rest[first.len()..];
                inner.iter().all(|piece| match piece.find(rest, self.case) {
                    Some(at) => {
                        rest = &rest[at + piece.len()..];
                        true
                    }
                    None => false,
                })
            }
        }
    }

    /// The one text that it matches.
    pub(super) fn exact(&self) -> Option<&[u8]> {
        match &self.shape {
            Shape::Exact(Piece::Plain(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// It is `*` and then this.
    pub(super) fn suffix(&self) -> Option<&[u8]> {
        match &self.shape {
            Shape::Wild { first, inner, last: Piece::Plain(bytes) } if first.len() == 0 && inner.is_empty() => {
                Some(bytes)
            }
            _ => None,
        }
    }

    /// What all that it matches begins with.
    pub(super) fn beginning(&self) -> Vec<u8> {
        let (Shape::Exact(first) | Shape::Wild { first, .. }) = &self.shape;
        match first {
            _ if self.case == Case::Ignored => Vec::new(),
            Piece::Plain(bytes) => bytes.to_vec(),
            Piece::Holed(tokens) => tokens.iter().map_while(|token| *token).collect(),
        }
    }
}

/// The byte that a backslash stands for.
fn escaped(bytes: &mut Peekable<Bytes<'_>>) -> u8 {
    bytes.next_if(|byte| matches!(byte, b'*' | b'?' | b'\\')).unwrap_or(b'\\')
}

impl Piece {
    fn new(tokens: &[Option<u8>]) -> Self {
        match tokens.iter().copied().collect() {
            Some(bytes) => Piece::Plain(bytes),
            None => Piece::Holed(tokens.into()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Piece::Plain(bytes) => bytes.len(),
            Piece::Holed(tokens) => tokens.len(),
        }
    }

    /// `text` begins with it.
    fn begins(&self, text: &[u8], case: Case) -> bool {
        let Some(text) = text.get(..self.len()) else { return false };
        match (self, case) {
            (Piece::Plain(bytes), Case::Kept) => text == &**bytes,
            (Piece::Plain(bytes), Case::Ignored) => text.eq_ignore_ascii_case(bytes),
            (Piece::Holed(tokens), case) => {
                let is_equal = |(token, byte): (&Option<u8>, &u8)| match (token, case) {
                    (None, _) => true,
                    (Some(token), Case::Kept) => token == byte,
                    (Some(token), Case::Ignored) => token.eq_ignore_ascii_case(byte),
                };
                tokens.iter().zip(text).all(is_equal)
            }
        }
    }

    /// Where it is first.
    fn find(&self, text: &[u8], case: Case) -> Option<usize> {
        match (self, case) {
            (Piece::Plain(bytes), Case::Kept) => memmem::find(text, bytes),
            (Piece::Plain(bytes), Case::Ignored) => {
                let first = bytes.first()?;
                let mut places = memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text);
                places.find(|at| self.begins(&text[*at..], case))
            }
            (Piece::Holed(_), _) => (0..text.len()).find(|at| self.begins(&text[*at..], case)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Case, Pattern};

    /// Tries every way. Without escapes.
    fn model(pattern: &[u8], text: &[u8], case: Case) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, rest) => rest.is_none(),
            (Some((b'*', pattern)), None) => model(pattern, text, case),
            (Some((b'*', after)), Some((_, rest))) => model(after, text, case) || model(pattern, rest, case),
            (Some((b'?', pattern)), Some((_, rest))) => model(pattern, rest, case),
            (Some((byte, pattern)), Some((given, rest))) => {
                let is_equal = byte == given || case == Case::Ignored && byte.eq_ignore_ascii_case(given);
                is_equal && model(pattern, rest, case)
            }
            (Some(_), None) => false,
        }
    }

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern, Case::Kept).matches(text.as_bytes())
    }

    #[test]
    fn r_r2_a_star_is_any_bytes_and_a_question_mark_is_one() {
        for text in ["/img/", "/img/a", "/img/a/b.png"] {
            assert!(matches("/img/*", text), "{text}");
        }
        for text in ["/img", "/imga", "/IMG/a", ""] {
            assert!(!matches("/img/*", text), "{text}");
        }
        assert!(matches("/a?c", "/abc"));
        assert!(!matches("/a?c", "/ac"));
        assert!(!matches("/a?c", "/abbc"));
        assert!(matches("*", ""));
        assert!(matches("", ""));
        assert!(!matches("", "a"));
        assert!(!matches("?*", ""));
    }

    #[test]
    fn pieces_do_not_overlap() {
        assert!(!matches("ab*ba", "aba"));
        assert!(matches("ab*ba", "abba"));
        assert!(!matches("*aa*aa*", "aaa"));
        assert!(matches("*aa*aa*", "aaaa"));
    }

    #[test]
    fn r_r2_a_backslash_takes_a_wildcards_meaning_away() {
        assert!(matches(r"a\*b", "a*b"));
        assert!(!matches(r"a\*b", "axb"));
        assert!(matches(r"a\?*", "a?xyz"));
        assert!(!matches(r"a\?*", "abxyz"));
        assert!(matches(r"a\\*", r"a\b"));
        assert!(matches(r"a\b\", r"a\b\"));
    }

    #[test]
    fn r_r2_case_matters_only_where_it_should() {
        let pattern = Pattern::new("*Chrome/1?3*", Case::Ignored);
        assert!(pattern.matches(b"mozilla/5.0 cHROME/1.3"));
        assert!(!pattern.matches(b"mozilla/5.0 chromium/1.3"));
        assert!(!Pattern::new("*Chrome*", Case::Kept).matches(b"chrome"));
    }

    proptest! {
        #[test]
        fn the_matcher_agrees_with_one_that_tries_every_way(
            pattern in "[abA*?]{0,10}", text in "[abA]{0,12}", ignored in any::<bool>(),
        ) {
            let case = if ignored { Case::Ignored } else { Case::Kept };
            let matched = Pattern::new(&pattern, case).matches(text.as_bytes());
            prop_assert_eq!(matched, model(pattern.as_bytes(), text.as_bytes(), case));
        }

        #[test]
        fn what_matches_begins_as_the_pattern_does(pattern in "[ab?*]{0,6}", text in "[ab]{0,6}") {
            let pattern = Pattern::new(&pattern, Case::Kept);
            if pattern.matches(text.as_bytes()) {
                prop_assert!(text.as_bytes().starts_with(&pattern.beginning()));
            }
        }

        #[test]
        fn any_bytes_are_matched_without_panic(pattern in any::<String>(), text in any::<Vec<u8>>()) {
            Pattern::new(&pattern, Case::Ignored).matches(&text);
            Pattern::new(&pattern, Case::Kept).matches(&text);
        }
    }
}
