//! From URLs and options to what is sent, and to whom.

use std::net::{SocketAddr, ToSocketAddrs};

use http::Uri;

use super::options::{HttpOptions, LoadOptions, TcpOptions, UdpOptions};
use super::{Error, usage};
use crate::http::{Requests, Template};
use crate::workload::Workload;

/// What is sent, and to whom.
pub(super) struct Work {
    pub(super) workload: Workload,
    pub(super) target: SocketAddr,
    /// As it was called.
    pub(super) name: String,
}

pub(super) fn tcp(options: &TcpOptions) -> Result<Work, Error> {
    let request = (0..options.request_size).map(|at| b'a' + (at % 26) as u8).collect();
    let workload = Workload::Tcp { request, response_bytes: options.response_size };
    Ok(Work { workload, target: resolve(&options.target)?, name: options.target.clone() })
}

pub(super) fn udp(options: &UdpOptions, load: &LoadOptions) -> Result<Work, Error> {
    if load.connection_per_request {
        return Err(usage("--connection-per-request: UDP has no connections".to_owned()));
    }
    let workload = Workload::Udp {
        request_bytes: usize::from(options.request_size),
        response_bytes: usize::from(options.response_size.unwrap_or(0)),
    };
    Ok(Work { workload, target: resolve(&options.target)?, name: options.target.clone() })
}

pub(super) fn http(options: &HttpOptions, load: &LoadOptions) -> Result<Work, Error> {
    let urls = options.urls.iter().map(|url| Url::parse(url)).collect::<Result<Vec<_>, _>>()?;
    let target = match (&options.connect_to, urls.iter().find(|url| url.address != urls[0].address)) {
        (Some(address), _) => resolve(address)?,
        (None, None) => resolve(&urls[0].address)?,
        (None, Some(other)) => {
            let (one, other) = (&urls[0].address, &other.address);
            let message = format!("the URLs name {one} and {other}; --connect-to HOST:PORT says where to connect");
            return Err(usage(message));
        }
    };
    let template = template(options, load)?;
    let request = |url: &Url| template.request(&url.host, &url.target, url.weight);
    let name = if options.urls.len() > 4 {
        format!("{} and {} more URLs", options.urls[0], options.urls.len() - 1)
    } else {
        options.urls.join(" ")
    };
    let requests = Requests::new(urls.iter().map(request).collect());
    Ok(Work { workload: Workload::Http(requests), target, name })
}

fn template(options: &HttpOptions, load: &LoadOptions) -> Result<Template, Error> {
    let method = http::Method::from_bytes(options.method.as_bytes())
        .map_err(|_| usage(format!("--method {:?}: not a method, such as GET or POST", options.method)))?;
    let headers = options.headers.iter().map(|header| read_header(header)).collect::<Result<Vec<_>, _>>()?;
    let body = match (&options.body, &options.body_file) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(path)) => {
            std::fs::read(path).map_err(|error| format!("--body-file {}: {error}", path.display()))?
        }
        (None, None) => Vec::new(),
    };
    Ok(Template { method: method.to_string(), headers, body, closes: load.connection_per_request })
}

fn read_header(text: &str) -> Result<(String, String), Error> {
    let bad = || usage(format!("--header {text:?}: expected 'Name: value'"));
    let (name, value) = text.split_once(':').ok_or_else(bad)?;
    let name = http::HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad())?;
    let value = http::HeaderValue::from_str(value.trim()).map_err(|_| bad())?;
    // The name as it was typed: targets may be particular about it, and what came through `HeaderName` is in small letters.
    let typed = text[..name.as_str().len() + text.len() - text.trim_start().len()].trim_start();
    Ok((typed.to_owned(), value.to_str().map_err(|_| bad())?.to_owned()))
}

#[derive(Debug, PartialEq, Eq)]
struct Url {
    /// Where it connects.
    address: String,
    /// What the Host header says.
    host: String,
    /// Path and query.
    target: String,
    weight: u32,
}

impl Url {
    fn parse(text: &str) -> Result<Self, Error> {
        let (weight, url) = match text.split_once('@').and_then(|(weight, url)| Some((weight.parse().ok()?, url))) {
            Some((0, _)) => return Err(usage(format!("{text:?}: a weight of 0 is never drawn; leave the URL out"))),
            Some(weighted) => weighted,
            None => (1, text),
        };
        let bad = |why: &dyn std::fmt::Display| usage(format!("{url:?}: {why}"));
        let uri: Uri = url.parse().map_err(|error| bad(&format!("{error}; {EXPECTED}")))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(bad(&"https is not spoken yet; use http")),
            _ => return Err(bad(&EXPECTED)),
        }
        let authority = uri.authority().ok_or_else(|| bad(&EXPECTED))?;
        if authority.as_str().contains('@') {
            return Err(bad(&"no user in a URL; send --header 'Authorization: ...' instead"));
        }
        let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
        let target = uri.path_and_query().map_or("/", |path| path.as_str());
        // A query may follow the host at once.
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Url { address, host: authority.as_str().to_owned(), target, weight })
    }
}

/// The first address of `HOST:PORT`.
pub(super) fn resolve(text: &str) -> Result<SocketAddr, Error> {
    let mut addresses = text.to_socket_addrs().map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidInput => usage(format!("{text:?}: {error}; expected HOST:PORT")),
        _ => format!("{text:?}: {error}").into(),
    })?;
    addresses.next().ok_or_else(|| format!("{text:?}: the name has no address").into())
}

const EXPECTED: &str = "expected http://host/path";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_say_where_to_connect_and_what_to_ask_for() {
        let url = Url::parse("http://[::1]:8080/a?b").unwrap();
        assert_eq!(
            (url.address.as_str(), url.host.as_str(), url.target.as_str()),
            ("[::1]:8080", "[::1]:8080", "/a?b")
        );
        let url = Url::parse("9@http://example.com").unwrap();
        assert_eq!((url.address.as_str(), url.target.as_str(), url.weight), ("example.com:80", "/", 9));
        let url = Url::parse("http://a?q=me@home").unwrap();
        assert_eq!((url.host.as_str(), url.target.as_str()), ("a", "/?q=me@home"));
    }

    #[test]
    fn other_urls_are_refused_with_what_to_do() {
        for (url, word) in [
            ("example.com", "http://host/path"),
            ("https://a/", "use http"),
            ("ftp://a/", "http://host/path"),
            ("0@http://a/", "leave the URL out"),
            ("http://user@a/", "Authorization"),
            ("http://a b/", "http://host/path"),
        ] {
            let error = Url::parse(url).expect_err(url).to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn headers_are_sent_as_typed() {
        assert_eq!(read_header(" X-Api-Key:  a:b ").unwrap(), ("X-Api-Key".to_owned(), "a:b".to_owned()));
        for bad in ["", "a", "a b: c", "a: b\r\nc: d", ": x"] {
            assert!(read_header(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_url_or_header_is_read_or_refused(text: String) {
            let _ = Url::parse(&text);
            let _ = Url::parse(&format!("http://{text}"));
            let _ = read_header(&text);
        }
    }
}
