//! Regular expressions of an operator: over bytes, bounded in size, in time linear in what they are looked for in (crate `regex`).
#![forbid(unsafe_code)]

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind, Look};

use super::check::Wrong;

/// Longest expression and longest replacement. ALB.
pub(super) const TEXT_BYTES_MAX: usize = 1024;

/// Most memory that an expression takes compiled, and again for what it learns of the texts it meets. Ours: a hundred times what
/// common ones need, and a thousand rules of the worst still fit.
const COMPILED_BYTES_MAX: usize = 256 << 10;

/// An expression that says whether it is found in a path.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    /// A path that does not begin so need not be searched.
    pub(super) beginning: Box<[u8]>,
    regex: Regex,
}

impl Expression {
    pub(super) fn new(text: &str) -> Result<Self, Wrong> {
        Ok(Expression { regex: compile(text)?, beginning: beginning(text) })
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        text.starts_with(&self.beginning) && self.regex.is_match(text)
    }
}

/// Without Unicode's classes, as in ALB: a path is bytes, `.` is any of them, `\d` and `\w` are ASCII.
pub(super) fn compile(text: &str) -> Result<Regex, Wrong> {
    if text.len() > TEXT_BYTES_MAX {
        let what = format!("a regular expression of {} bytes is too long", text.len());
        return Err(Wrong::new(what, format!("write at most {TEXT_BYTES_MAX}")));
    }
    let regex = RegexBuilder::new(text)
        .unicode(false)
        .dot_matches_new_line(true)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .build();
    regex.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            let mend = "use smaller counts such as {1,20}, or several rules";
            Wrong::new(format!("the regular expression {text:?} is too large when compiled"), mend)
        }
        error => {
            let error = error.to_string();
            // The last of several lines, which draw where it is.
            let line = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let mend = "write it as the crate regex takes it: no look-around, no back-references, no Unicode classes";
            Wrong::new(format!("{text:?} is not a regular expression: {line}"), mend)
        }
    })
}

fn beginning(text: &str) -> Box<[u8]> {
    let parsed = ParserBuilder::new().unicode(false).utf8(false).dot_matches_new_line(true).build().parse(text);
    let Ok(hir) = parsed else { return Box::default() };
    let HirKind::Concat(parts) = hir.kind() else { return Box::default() };
    match parts.iter().map(Hir::kind).collect::<Vec<_>>().as_slice() {
        [HirKind::Look(Look::Start), HirKind::Literal(literal), ..] => literal.0.clone(),
        _ => Box::default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Expression, compile};

    #[test]
    fn a_text_at_the_beginning_is_known() {
        let beginning = |text| Expression::new(text).unwrap().beginning;
        assert_eq!(*beginning("^/v[0-9]+/"), *b"/v");
        assert_eq!(*beginning("^/exact$"), *b"/exact");
        assert_eq!(*beginning("(?i)^/a"), *b"/");
        for text in ["/v1", "^(/a|/b)", "^/a|/b", "(?i)^a", "(?m)^/a", "^/?a", "^"] {
            assert_eq!(*beginning(text), *b"", "{text}");
        }
    }

    #[test]
    fn r_r2_an_expression_is_found_anywhere_in_a_path_of_any_bytes() {
        let matches = |text, path: &[u8]| Expression::new(text).unwrap().matches(path);
        assert!(matches("/v[0-9]+/", b"/api/v12/x"));
        assert!(!matches("^/v[0-9]+/", b"/api/v12/x"));
        assert!(matches("^/a.b$", b"/a\xffb"));
        assert!(matches("(?i)^/A", b"/a"));
        assert!(!matches(r"^/\d$", "/\u{0663}".as_bytes()));
    }

    #[test]
    fn what_is_wrong_with_an_expression_is_said_in_a_line() {
        let wrong = compile("/a(").unwrap_err();
        assert_eq!(wrong.what, "\"/a(\" is not a regular expression: unclosed group");
        let wrong = compile("(a{1,500}){1,500}").unwrap_err();
        assert!(wrong.what.ends_with("is too large when compiled"), "{}", wrong.what);
        assert!(compile(&"a".repeat(1025)).is_err());
        assert!(compile(r"\p{L}").is_err());
        assert!(compile(r"(?=a)").is_err());
    }

    proptest! {
        #[test]
        fn the_beginning_changes_nothing(text in r"\^?[/ab.()|?*+]{0,8}", path in "[/ab]{0,8}") {
            if let Ok(expression) = Expression::new(&text) {
                prop_assert_eq!(expression.matches(path.as_bytes()), expression.regex.is_match(path.as_bytes()));
            }
        }
    }
}
