//! Where the admin endpoint is, as `--admin` says it.

use std::fmt;
use std::path::PathBuf;

use crate::config::limits;

/// An address to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Address {
    /// `HOST:PORT`; the host is an address, in brackets if of IPv6, or a name.
    Tcp(String),
    /// The same, where https is spoken.
    Https(String),
    /// The path of a socket.
    Unix(PathBuf),
}

/// What `[admin] listen` is by default.
impl Default for Address {
    fn default() -> Self {
        Address::Tcp(limits::ADMIN_LISTEN_DEFAULT.to_string())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(place) => f.write_str(place),
            Address::Https(place) => write!(f, "{HTTPS}{place}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = PathBuf::from(path);
        return if path.is_absolute() {
            Ok(Address::Unix(path))
        } else {
            Err(format!("the path must be absolute; {MEND}"))
        };
    }
    let (place, address): (_, fn(String) -> Address) = match text.strip_prefix(HTTPS) {
        Some(place) => (place.strip_suffix('/').unwrap_or(place), Address::Https),
        None if text.contains("://") => return Err(format!("this is a URL; {MEND}")),
        None => (text, Address::Tcp),
    };
    let Some((host, port)) = place.rsplit_once(':') else { return Err(format!("the port is missing; {MEND}")) };
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !(is_bracketed || !host.is_empty() && host.bytes().all(is_host)) {
        return Err(format!("{host:?} is not a host; {MEND}"));
    }
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(format!("{port:?} is not a port; {MEND}"));
    }
    Ok(address(place.to_owned()))
}

const HTTPS: &str = "https://";
const MEND: &str = "write what [admin] listen says, such as 127.0.0.1:9900, [::1]:9900 or unix:/run/weir.sock, and https:// before \
                    it where there is a certificate_file";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_with_its_port_or_a_socket() {
        for good in ["127.0.0.1:9900", "[::1]:9900", "localhost:1", "edge-1.example.com:65535"] {
            assert_eq!(parse(good).unwrap(), Address::Tcp(good.to_owned()));
            assert_eq!(parse(good).unwrap().to_string(), good);
            let https = parse(&format!("https://{good}")).unwrap();
            assert_eq!(https, Address::Https(good.to_owned()));
            assert_eq!(https, parse(&format!("{https}/")).unwrap());
        }
        assert_eq!(parse("unix:/run/weir.sock").unwrap(), Address::Unix("/run/weir.sock".into()));
        assert_eq!(parse(&Address::default().to_string()).unwrap(), Address::default());
    }

    #[test]
    fn what_is_none_is_refused_with_what_to_write() {
        for bad in [
            "",
            ":",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            ":9900",
            "::1:9900",
            "a b:1",
            "unix:",
            "unix:weir.sock",
            "http://127.0.0.1:9900",
            "https://127.0.0.1",
            "https://127.0.0.1:9900/v1",
            "https://https://a:1",
            "https://",
            "user@host:1",
            "a/b:1",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.contains("[admin] listen"), "{bad:?}: {error}");
        }
    }
}
