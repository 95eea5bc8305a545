//! The URL that a scaling group is reported to.

use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;

use hyper::Uri;
use serde::{Deserialize, Serialize, Serializer};

use super::refusal::{Field, Refusal, Why};
use crate::config::limits;

/// An `http` or `https` URL: a host, a port where it is not the scheme's, a path and a query.
///
/// Its path or query may be all that keeps others from posting there, so `Debug` and `Display` show where it leads and no
/// more. `as_str` is the whole of it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct WebhookUrl {
    typed: Arc<str>,
    uri: Uri,
}

impl WebhookUrl {
    /// Takes a text for a URL.
    ///
    /// # Errors
    /// It is none, is longer than `WEBHOOK_URL_BYTES_MAX`, has another scheme, a user or a fragment, or no host.
    pub fn new(typed: &str) -> Result<WebhookUrl, Refusal> {
        if typed.len() > limits::WEBHOOK_URL_BYTES_MAX {
            let what = format!("the URL has {} bytes", typed.len());
            return Err(refused(what, &format!("use one of at most {}", limits::WEBHOOK_URL_BYTES_MAX)));
        }
        let shown = || format!("{:?}", typed.chars().take(limits::NAME_BYTES_MAX).collect::<String>());
        let no_url = || refused(format!("{} is not a URL", shown()), EXAMPLE);
        if !typed.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(no_url());
        }
        if typed.contains('#') {
            return Err(refused(
                format!("{} has a fragment, which is never sent", shown()),
                "leave out # and the rest",
            ));
        }
        let uri: Uri = typed.parse().map_err(|_| no_url())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(no_url());
        }
        let authority = uri.authority().ok_or_else(no_url)?;
        if authority.as_str().contains('@') {
            let mend = "leave out what is before the @: the receiver knows us by the signature";
            return Err(refused("the URL has a user or a password in it", mend));
        }
        let port = authority.as_str().strip_prefix(authority.host()).ok_or_else(no_url)?;
        let port_is_good = port.is_empty() || authority.port_u16().is_some_and(|port| port > 0);
        if !is_host(authority.host()) || !port_is_good {
            return Err(no_url());
        }
        Ok(WebhookUrl { typed: typed.into(), uri })
    }

    /// The whole URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.typed
    }

    /// The same, parsed.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }
}

/// A name or an address, as a URL has it (RFC 3986, 3.2.2). Whether there is such a name is not asked.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(is_of_a_name)
}

fn refused(what: impl Into<String>, mend: &str) -> Refusal {
    Refusal::new(Why::NotAUrl, Field::Webhook, what, mend)
}

impl TryFrom<String> for WebhookUrl {
    type Error = Refusal;

    fn try_from(typed: String) -> Result<WebhookUrl, Refusal> {
        WebhookUrl::new(&typed)
    }
}

impl Serialize for WebhookUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.typed)
    }
}

/// `https://autoscaler.internal`
impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        write!(f, "{}://{authority}", self.uri.scheme_str().unwrap_or_default())
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookUrl({self})")
    }
}

const EXAMPLE: &str = "write one such as \"https://autoscaler.internal/weir\"";
/// Longest name of the DNS, RFC 1035, 2.3.4: 255 octets on the wire are 253 characters.
const HOST_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r_g9_a_webhook_is_an_http_url_of_a_host() {
        for good in [
            "https://autoscaler.internal/weir",
            "http://10.0.0.1:8080",
            "https://[fd00::1]:8443/a/b?key=x",
            "HTTP://Scaler/",
            "http://my_host.:65535/",
        ] {
            let url = WebhookUrl::new(good).unwrap_or_else(|refusal| panic!("{good}: {refusal}"));
            assert_eq!(url.as_str(), good);
        }
        for (bad, says) in [
            ("", "\"\" is not a URL"),
            ("autoscaler.internal", "\"autoscaler.internal\" is not a URL"),
            ("/weir", "\"/weir\" is not a URL"),
            ("ftp://a/b", "\"ftp://a/b\" is not a URL"),
            ("unix:/run/a.sock", "is not a URL"),
            ("https://", "\"https://\" is not a URL"),
            ("https:///weir", "\"https:///weir\" is not a URL"),
            ("https://:443/", "\"https://:443/\" is not a URL"),
            ("https://a:0/", "\"https://a:0/\" is not a URL"),
            ("https://a:65536/", "\"https://a:65536/\" is not a URL"),
            ("https://a:/", "\"https://a:/\" is not a URL"),
            ("https://[fd00::1/", "is not a URL"),
            ("https://[10.0.0.1]/", "is not a URL"),
            ("https://a b/", "\"https://a b/\" is not a URL"),
            ("https://a/b c", "\"https://a/b c\" is not a URL"),
            ("https://ä/", "is not a URL"),
            ("https://a\n/", "is not a URL"),
            ("https://a%20b/", "is not a URL"),
            ("https://a/#b", "has a fragment, which is never sent"),
            ("https://me:secret@a/", "the URL has a user or a password in it"),
            ("https://me@a/", "the URL has a user or a password in it"),
        ] {
            let refusal = WebhookUrl::new(bad).expect_err(bad);
            assert_eq!(refusal.field, Field::Webhook);
            assert!(refusal.what.contains(says) && !refusal.what.contains("secret"), "{bad}: {refusal}");
        }
        let longest = format!("https://a/{}", "x".repeat(limits::WEBHOOK_URL_BYTES_MAX - 10));
        assert!(WebhookUrl::new(&longest).is_ok());
        let refusal = WebhookUrl::new(&format!("{longest}x")).expect_err("too long");
        assert_eq!(refusal.to_string(), "the URL has 2049 bytes; use one of at most 2048");
    }

    #[test]
    fn what_is_printed_says_where_it_leads_and_no_secret_of_the_path() {
        let url = WebhookUrl::new("https://a.internal:8443/hooks/T0k3n?key=T0k3n").expect("good");
        assert_eq!(url.to_string(), "https://a.internal:8443");
        assert_eq!(format!("{url:?}"), "WebhookUrl(https://a.internal:8443)");
    }

    proptest! {
        #[test]
        fn no_text_upsets_it_and_what_it_takes_can_be_sent(typed in "(https?://)?[a-z@:/#\\[\\]0-9. %?\u{e4}]{0,30}") {
            if let Ok(url) = WebhookUrl::new(&typed) {
                prop_assert_eq!(url.as_str(), &*typed);
                prop_assert!(url.uri().host().is_some_and(|host| !host.is_empty()));
                prop_assert!(hyper::Request::post(url.uri().clone()).body(()).is_ok());
            }
        }
    }
}
