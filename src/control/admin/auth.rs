//! The bearer token of the admin endpoint (RFC 6750), compared in constant time.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq;

use crate::config::{limits, read_secret};

/// Shorter tokens can be guessed.
const TOKEN_BYTES_MIN: usize = 16;
/// Longer ones do not fit a request's head.
const TOKEN_BYTES_MAX: usize = 4096;

/// What requests must carry.
#[derive(Clone)]
pub(super) struct Token(String);

/// A secret is not printed.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// Reads it from its file; white space around it is not part of it.
    ///
    /// # Errors
    /// What is wrong with the file, and how to mend it.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = read_secret(path, limits::SECRET_FILE_BYTES_MAX)
            .map_err(|wrong| format!("[admin] token_file: {wrong}; openssl rand -hex 32 makes a token"))?;
        let token = text.trim();
        if !(TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&token.len())
            || !token.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(format!(
                "[admin] token_file: {}: a token is {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} visible ASCII characters in one line; make one: \
                 openssl rand -hex 32",
                path.display()
            ));
        }
        Ok(Token(token.to_owned()))
    }

    /// Whether a request carries it.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return false };
        let Some((scheme, given)) = value.as_bytes().split_at_checked(SCHEME.len()) else { return false };
        scheme.eq_ignore_ascii_case(SCHEME) && given.ct_eq(self.0.as_bytes()).into()
    }
}

const SCHEME: &[u8] = b"Bearer ";

/// What the endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    Http,
    Https,
}

impl Spoken {
    /// How the origin of a page of the endpoint's own begins.
    fn scheme(self) -> &'static str {
        match self {
            Spoken::Http => "http://",
            Spoken::Https => "https://",
        }
    }
}

/// A browser sends it for a page that is not the endpoint's own. Where no token is asked for, any page that somebody on this
/// machine opens could change targets otherwise: browsers name the page's origin with whatever changes something (Fetch, 3.2),
/// and a page whose name was made to lead here (DNS rebinding) has a name where ours has an address.
pub(super) fn is_of_a_foreign_page(headers: &HeaderMap, spoken: Spoken) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_own =
        origin.to_str().ok().and_then(|origin| origin.strip_prefix(spoken.scheme())).is_some_and(|own| own == host);
    !is_own || !is_this_machine(host)
}

/// It goes to a name that anybody may have led here, so that a page of that name may read what is answered (DNS rebinding): a
/// browser takes it for the page's own, and says nothing else that tells it from another program's. Over https the certificate
/// is for no such name.
pub(super) fn is_by_a_foreign_name(headers: &HeaderMap, spoken: Spoken) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    spoken == Spoken::Http
        && hosts.any(|host| !host.to_str().is_ok_and(|host| host.is_empty() || is_this_machine(host)))
}

/// An address, or the name that no resolver gives another one (RFC 6761, 6.3), with any port.
fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let host = authority.host();
    host.eq_ignore_ascii_case("localhost") || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn with(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, authorization.parse().unwrap())])
    }

    #[test]
    fn what_changes_something_comes_from_no_page_or_from_our_own() {
        for (spoken, own, other) in [(Spoken::Http, "http://", "https://"), (Spoken::Https, "https://", "http://")] {
            let foreign = |origin: Option<&str>, host: &str| {
                let mut headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
                headers.extend(origin.map(|origin| (header::ORIGIN, origin.parse().unwrap())));
                is_of_a_foreign_page(&headers, spoken)
            };
            assert!(!foreign(None, "anything"), "no browser");
            for host in ["127.0.0.1:9900", "[::1]:9900", "localhost:9900", "10.0.0.1"] {
                assert!(!foreign(Some(&format!("{own}{host}")), host), "{host}");
                assert!(foreign(Some(&format!("{other}{host}")), host), "{host}: another scheme is another origin");
                assert!(foreign(Some("https://evil.example"), host), "{host}");
                assert!(foreign(Some("null"), host), "{host}");
            }
            let led_here = foreign(Some(&format!("{own}evil.example:9900")), "evil.example:9900");
            assert!(led_here, "a name that was made to lead here");
        }
    }

    #[test]
    fn what_is_shown_is_shown_by_address_and_not_by_a_name_that_anybody_may_lead_here() {
        let foreign = |host: &[u8], spoken| {
            let host = header::HeaderValue::from_bytes(host).unwrap();
            is_by_a_foreign_name(&HeaderMap::from_iter([(header::HOST, host)]), spoken)
        };
        for host in ["127.0.0.1:9900", "127.0.0.1", "[::1]:9900", "[::1]", "localhost:9900", "LOCALHOST", ""] {
            assert!(!foreign(host.as_bytes(), Spoken::Http), "{host}");
        }
        assert!(!is_by_a_foreign_name(&HeaderMap::new(), Spoken::Http), "no browser");
        for host in [
            "evil.example:9900",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "127.0.0.1, evil.example",
            "\u{e4}",
        ] {
            assert!(foreign(host.as_bytes(), Spoken::Http), "{host}");
            assert!(!foreign(host.as_bytes(), Spoken::Https), "{host}: the certificate is for no other name");
        }
        let hosts = ["127.0.0.1", "evil.example"].map(|host| (header::HOST, host.parse().unwrap()));
        let mut two = HeaderMap::new();
        for (name, host) in hosts {
            two.append(name, host);
        }
        assert!(is_by_a_foreign_name(&two, Spoken::Http));
    }

    fn token_of(text: &str) -> Result<Token, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Token::read(file.path())
    }

    #[test]
    fn a_file_that_every_account_may_read_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "0123456789abcdef\n").unwrap();
        for (mode, is_good) in
            [(0o600, true), (0o640, true), (0o440, true), (0o644, false), (0o604, false), (0o666, false)]
        {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            let read = Token::read(file.path());
            assert_eq!(read.is_ok(), is_good, "{mode:o}");
            if let Err(error) = read {
                let says = format!("is open to every account of this machine (mode {mode:04o})");
                assert!(error.contains(&says) && error.contains("chmod 640 "), "{error}");
            }
        }
    }

    #[test]
    fn only_the_whole_token_opens() {
        let token = token_of("0123456789abcdef\n").unwrap();
        assert!(token.is_in(&with("Bearer 0123456789abcdef")));
        assert!(token.is_in(&with("bearer 0123456789abcdef")));
        for wrong in [
            "Bearer 0123456789abcdeF",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer ",
            "Bear",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
            "",
        ] {
            assert!(!token.is_in(&with(wrong)), "{wrong:?}");
        }
        assert!(!token.is_in(&HeaderMap::new()));
    }

    #[test]
    fn a_file_without_a_good_token_is_refused_and_never_shown() {
        for bad in [
            "",
            "  \n",
            "short",
            "two words that are long enough",
            "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}",
        ] {
            let error = token_of(bad).unwrap_err();
            assert!(error.contains("openssl rand -hex 32"), "{error}");
            assert!(bad.trim().is_empty() || !error.contains(bad.trim()), "{error}");
        }
        assert!(Token::read(Path::new("/nowhere/token")).unwrap_err().contains("/nowhere/token"));
        assert!(!format!("{:?}", token_of("0123456789abcdef").unwrap()).contains("0123"));
    }
}
