//! The token of `--token-file`, as requests carry it (RFC 6750). It is never printed.

use std::fs;
use std::path::Path;

use hyper::header::HeaderValue;

/// The header's value; white space around the token is not part of it, as for the balancer, which reads the same file.
pub(super) fn read(path: &Path) -> Result<HeaderValue, String> {
    let place = format!("--token-file {}", path.display());
    let text = fs::read_to_string(path).map_err(|error| {
        format!("{place}: {error}; name the file that [admin] token_file names, or a copy of your own")
    })?;
    let token = text.trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let mut value = is_token
        .then(|| HeaderValue::try_from(format!("Bearer {token}")).ok())
        .flatten()
        .ok_or_else(|| format!("{place}: there is no token in it: one line of visible ASCII characters"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_of(text: &str) -> Result<HeaderValue, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn the_token_is_what_the_file_holds_without_the_space_around_it_and_is_not_printed() {
        let value = token_of(" 0123456789abcdef\n").unwrap();
        assert_eq!(value, "Bearer 0123456789abcdef");
        assert!(!format!("{value:?}").contains("0123"));
    }

    #[test]
    fn a_file_without_a_token_is_named_and_not_shown() {
        for bad in ["", " \n", "two words", "two\nlines", "\u{e4}\u{e4}\u{e4}"] {
            let error = token_of(bad).unwrap_err();
            assert!(error.starts_with("--token-file /") && error.contains("no token"), "{error}");
            assert!(bad.trim().is_empty() || !error.contains(bad.trim()), "{error}");
        }
        assert!(read(Path::new("/nowhere/token")).unwrap_err().contains("/nowhere/token"));
    }
}
