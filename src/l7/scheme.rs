//! The scheme of a URL that a client used.
#![forbid(unsafe_code)]

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlScheme {
    /// Over TCP (RFC 9110, 4.2.1).
    Http,
    /// Over TLS (RFC 9110, 4.2.2).
    Https,
}

impl UrlScheme {
    /// As written in a URL and in `X-Forwarded-Proto`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            UrlScheme::Http => "http",
            UrlScheme::Https => "https",
        }
    }

    /// The port of a URL that names none.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            UrlScheme::Http => 80,
            UrlScheme::Https => 443,
        }
    }
}
