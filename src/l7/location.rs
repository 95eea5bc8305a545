//! A target's `Location` and `Content-Location` as its client must see them (requirement R4).
//!
//!     http :// user@ www.example.com :8081 /movie/
//!     |        |     |               |     `- stays          the host is the request's, or the target's address,
//!     |        |     `---------------+-- what the client wrote     and the port is the target's?
//!     |        `- stays                                            else: untouched
//!     `- the scheme that the client used
//!
//! A target that redirects to itself (`/movie` to `/movie/`) names the port that it listens on, which its clients cannot reach.
//! Host and port are written as the request's `Host` has them: RFC 9110 7.2 has the client put its port there unless it is
//! the scheme's own. The listener's port would be wrong behind a host that maps 443 to 8443. A request without `Host` (HTTP/1.0)
//! gets a relative reference, which needs neither.
//!
//! Always: any bytes may come. What is not plainly such a URL is untouched, and what follows the authority never changes.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::UrlScheme;

/// Both ends of a request, as `Location` may name them.
#[derive(Debug, Clone, Copy)]
pub struct Ends<'a> {
    /// What the client used.
    pub scheme: UrlScheme,
    /// `host[:port]` as the client wrote it; empty when it wrote none.
    pub authority: &'a [u8],
    /// `host[:port]` as the target got it: another one after a rewrite.
    pub target_authority: &'a [u8],
    /// Where the target answers.
    pub target: SocketAddr,
}

/// Appends what is to stand in place of `value` and says whether there is such a thing; `out` is as it was where not.
#[must_use]
pub fn repair(value: &[u8], ends: &Ends<'_>, out: &mut Vec<u8>) -> bool {
    let Some(url) = Url::of(value) else { return false };
    if !names_the_target(&url, ends) {
        return false;
    }
    let start = out.len();
    if ends.authority.is_empty() {
        write_relative(url.rest, out);
    } else {
        if url.scheme.is_some() {
            out.extend_from_slice(ends.scheme.as_str().as_bytes());
            out.push(b':');
        }
        out.extend_from_slice(b"//");
        out.extend_from_slice(url.user);
        out.extend_from_slice(ends.authority);
        out.extend_from_slice(url.rest);
    }
    if &out[start..] == value {
        out.truncate(start);
        return false;
    }
    true
}

fn names_the_target(url: &Url<'_>, ends: &Ends<'_>) -> bool {
    let port = url.port.unwrap_or_else(|| url.scheme.unwrap_or(ends.scheme).default_port());
    port == ends.target.port()
        && (is_host_of(url.host, ends.authority)
            || is_host_of(url.host, ends.target_authority)
            || address(url.host) == Some(ends.target.ip().to_canonical()))
}

fn is_host_of(host: &[u8], authority: &[u8]) -> bool {
    let Some((named, _)) = host_and_port(authority) else { return false };
    named.eq_ignore_ascii_case(host) || address(named).is_some_and(|named| address(host) == Some(named))
}

/// The path alone, of a request that named no host. An empty path is `/`; one that begins with two slashes would be read as a
/// host (RFC 3986, 4.2), so it goes behind a dot.
fn write_relative(rest: &[u8], out: &mut Vec<u8>) {
    match rest {
        [b'/', b'/' | b'\\', ..] => out.extend_from_slice(b"/."),
        [b'/', ..] => {}
        _ => out.push(b'/'),
    }
    out.extend_from_slice(rest);
}

/// An http URL, or a reference that lacks but the scheme (RFC 3986, 4.2).
struct Url<'v> {
    scheme: Option<UrlScheme>,
    /// With its `@`; empty where there is none.
    user: &'v [u8],
    /// With its brackets.
    host: &'v [u8],
    port: Option<u16>,
    /// Path, query and fragment.
    rest: &'v [u8],
}

impl<'v> Url<'v> {
    fn of(value: &'v [u8]) -> Option<Self> {
        let (scheme, after_scheme) = split_scheme(value);
        let hierarchy = after_scheme.strip_prefix(b"//")?;
        let authority_bytes = hierarchy.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(hierarchy.len());
        let (authority, rest) = hierarchy.split_at(authority_bytes);
        // Browsers read a backslash as a slash and pass over some other bytes: they would see another host than we do.
        if !authority.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'\\') {
            return None;
        }
        let user_bytes = authority.iter().rposition(|&byte| byte == b'@').map_or(0, |at| at + 1);
        let (user, host_and_port_text) = authority.split_at(user_bytes);
        let (host, port) = host_and_port(host_and_port_text)?;
        Some(Url { scheme, user, host, port, rest })
    }
}

/// The scheme without its colon, where it is one of ours.
fn split_scheme(value: &[u8]) -> (Option<UrlScheme>, &[u8]) {
    let named = [UrlScheme::Https, UrlScheme::Http].into_iter().find_map(|scheme| {
        let (start, rest) = value.split_at_checked(scheme.as_str().len())?;
        let rest = rest.strip_prefix(b":")?;
        start.eq_ignore_ascii_case(scheme.as_str().as_bytes()).then_some((Some(scheme), rest))
    });
    named.unwrap_or((None, value))
}

/// The host, with its brackets, and the port where one is given; an empty port is none (RFC 3986, 3.2.3).
fn host_and_port(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let host_bytes = match authority {
        [b'[', ..] => authority.iter().position(|&byte| byte == b']')? + 1,
        _ => authority.iter().position(|&byte| byte == b':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(host_bytes);
    if host.is_empty() {
        return None;
    }
    match rest {
        [] | [b':'] => Some((host, None)),
        [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => {
            let port = str::from_utf8(digits).ok()?.parse().ok()?;
            Some((host, Some(port)))
        }
        _ => None,
    }
}

/// A host that is an address.
fn address(host: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(host).ok()?;
    match text.strip_prefix('[') {
        None => text.parse().map(IpAddr::V4).ok(),
        Some(rest) => rest.strip_suffix(']')?.parse().map(|ip: Ipv6Addr| ip.to_canonical()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ends(authority: &'static str) -> Ends<'static> {
        Ends {
            scheme: UrlScheme::Http,
            authority: authority.as_bytes(),
            target_authority: authority.as_bytes(),
            target: "10.0.0.5:8081".parse().unwrap(),
        }
    }

    /// What becomes of a value; `None`: it is untouched.
    fn repaired(value: impl AsRef<[u8]>, ends: &Ends<'_>) -> Option<String> {
        let mut out = b"before|".to_vec();
        let changed = repair(value.as_ref(), ends, &mut out);
        let text = String::from_utf8_lossy(&out[7..]).into_owned();
        if !changed {
            assert_eq!(text, "");
        }
        changed.then_some(text)
    }

    #[test]
    fn r_r4_the_trailing_slash_redirect_of_a_target_does_not_leak_its_port() {
        let given = repaired("http://www.example.com:8081/movie/", &ends("www.example.com"));
        assert_eq!(given.as_deref(), Some("http://www.example.com/movie/"));
    }

    #[test]
    fn r_r4_the_targets_own_address_becomes_the_host_of_the_client() {
        let given = repaired("http://10.0.0.5:8081/movie/?a=b#c", &ends("www.example.com"));
        assert_eq!(given.as_deref(), Some("http://www.example.com/movie/?a=b#c"));
    }

    #[test]
    fn r_r4_the_port_is_written_as_the_client_wrote_it() {
        for (authority, wanted) in [
            ("www.example.com:8080", "http://www.example.com:8080/a"),
            ("www.example.com:80", "http://www.example.com:80/a"),
            ("www.example.com", "http://www.example.com/a"),
            ("WWW.Example.COM", "http://WWW.Example.COM/a"),
        ] {
            let given = repaired("http://www.example.com:8081/a", &ends(authority));
            assert_eq!(given.as_deref(), Some(wanted));
        }
    }

    #[test]
    fn r_r4_the_scheme_becomes_the_one_that_the_client_used() {
        let https = Ends { scheme: UrlScheme::Https, ..ends("www.example.com") };
        for value in ["http://www.example.com:8081/a", "HTTPS://WWW.EXAMPLE.COM:8081/a", "https://10.0.0.5:8081/a"] {
            assert_eq!(repaired(value, &https).as_deref(), Some("https://www.example.com/a"), "{value}");
        }
    }

    #[test]
    fn r_r4_a_url_without_a_port_names_the_port_of_its_scheme() {
        let on = |port, scheme| Ends { scheme, target: ([10, 0, 0, 5], port).into(), ..ends("www.example.com") };
        let at_80 = on(80, UrlScheme::Https);
        assert_eq!(repaired("http://www.example.com/a", &at_80).as_deref(), Some("https://www.example.com/a"));
        assert_eq!(repaired("http://www.example.com:/a", &at_80).as_deref(), Some("https://www.example.com/a"));
        assert_eq!(repaired("https://www.example.com/a", &at_80), None);
        let at_443 = on(443, UrlScheme::Http);
        assert_eq!(repaired("https://10.0.0.5/a", &at_443).as_deref(), Some("http://www.example.com/a"));
        assert_eq!(repaired("http://10.0.0.5/a", &at_443), None);
    }

    #[test]
    fn r_r4_other_hosts_other_ports_and_other_schemes_are_untouched() {
        for value in [
            "http://other.example.com:8081/",
            "http://www.example.com.evil.example:8081/",
            "http://www.example.com:8082/",
            "http://www.example.com/",
            "https://www.example.com/login",
            "http://10.0.0.6:8081/",
            "http://10.0.0.5/",
            "http://010.0.0.5:8081/",
            "ftp://www.example.com:8081/",
            "mailto:www.example.com:8081",
            "http:/www.example.com:8081/",
            "http:www.example.com:8081/",
            "http://www.example.com:18081/",
            "http://www.example.com:73617/",
            "http://www.example.com:+8081/",
            "http://www.example.com:8081x/",
            "http://www.example.com:8081:8081/",
            "http://user@www.example.com:8081@evil.example/",
            "http://evil.example\\@www.example.com:8081/",
            "http://www.example.com :8081/",
            "http://www.example.com\t:8081/",
            "http://:8081/",
            "http://",
            "http:",
            "",
        ] {
            assert_eq!(repaired(value, &ends("www.example.com")), None, "{value}");
        }
    }

    #[test]
    fn r_r4_relative_references_are_untouched() {
        for value in
            ["/movie/", "movie/", "../a", "?a=http://www.example.com:8081/", "#a", "/http://10.0.0.5:8081/", "."]
        {
            assert_eq!(repaired(value, &ends("www.example.com")), None, "{value}");
        }
    }

    #[test]
    fn r_r4_a_reference_that_lacks_but_the_scheme_does_not_leak_the_port_either() {
        let given = repaired("//www.example.com:8081/a", &ends("www.example.com"));
        assert_eq!(given.as_deref(), Some("//www.example.com/a"));
        assert_eq!(repaired("//other.example.com:8081/a", &ends("www.example.com")), None);
    }

    #[test]
    fn r_r4_user_and_password_stay() {
        let given = repaired("http://user:p%40ss@10.0.0.5:8081/a", &ends("www.example.com"));
        assert_eq!(given.as_deref(), Some("http://user:p%40ss@www.example.com/a"));
        assert_eq!(repaired("http://10.0.0.5:8081@evil.example/a", &ends("www.example.com")), None);
    }

    #[test]
    fn r_r4_ipv6_addresses_are_the_same_in_any_form() {
        let target = "[fd00::5]:8081".parse().unwrap();
        let six = Ends { target, ..ends("[2001:db8::1]:8080") };
        for value in ["http://[fd00::5]:8081/a", "http://[FD00:0:0::0:5]:8081/a", "http://[2001:0db8::1]:8081/a"] {
            assert_eq!(repaired(value, &six).as_deref(), Some("http://[2001:db8::1]:8080/a"), "{value}");
        }
        for value in ["http://fd00::5:8081/a", "http://[fd00::5/a", "http://[fd00::5]8081/a", "http://[fd00::6]:8081/"]
        {
            assert_eq!(repaired(value, &six), None, "{value}");
        }
        let mapped = "http://[::ffff:10.0.0.5]:8081/a";
        assert_eq!(repaired(mapped, &ends("www.example.com")).as_deref(), Some("http://www.example.com/a"));
    }

    #[test]
    fn r_r4_after_a_rewrite_the_host_that_the_target_got_counts_too() {
        let rewritten = Ends { target_authority: b"internal:9000", ..ends("www.example.com") };
        for value in ["http://internal:8081/a", "http://www.example.com:8081/a"] {
            assert_eq!(repaired(value, &rewritten).as_deref(), Some("http://www.example.com/a"), "{value}");
        }
        assert_eq!(repaired("http://internal:9000/a", &rewritten), None);
    }

    #[test]
    fn r_r4_a_client_that_named_no_host_gets_a_path() {
        for (value, wanted) in [
            ("http://10.0.0.5:8081/movie/?a", "/movie/?a"),
            ("http://10.0.0.5:8081", "/"),
            ("http://10.0.0.5:8081?a", "/?a"),
            ("http://10.0.0.5:8081#a", "/#a"),
            ("http://10.0.0.5:8081//evil.example/", "/.//evil.example/"),
            ("http://10.0.0.5:8081/\\evil.example/", "/./\\evil.example/"),
        ] {
            assert_eq!(repaired(value, &ends("")).as_deref(), Some(wanted), "{value}");
        }
        assert_eq!(repaired("http://www.example.com:8081/", &ends("")), None);
    }

    #[test]
    fn r_r4_what_names_the_client_view_already_is_untouched() {
        assert_eq!(repaired("http://www.example.com:8081/a", &ends("www.example.com:8081")), None);
    }

    const HOSTS: [&str; 6] =
        ["www.example.com", "10.0.0.5", "10.0.0.6", "[fd00::5]", "other.example", "WWW.example.com"];

    proptest! {
        #[test]
        fn r_r4_any_bytes_are_taken_and_only_urls_with_the_targets_port_change(
            value in prop::collection::vec(any::<u8>(), 0..60),
            prefix in prop::sample::select(vec!["", "http://", "https://", "//", "http://www.example.com:8081", "http://10.0.0.5:8081"]),
        ) {
            let value = [prefix.as_bytes(), &value].concat();
            if let Some(given) = repaired(&value, &ends("www.example.com")) {
                let text = String::from_utf8_lossy(&value).to_ascii_lowercase();
                prop_assert!(text.contains("8081"), "{text} -> {given}");
                prop_assert!(given.contains("www.example.com"));
            }
        }

        #[test]
        fn r_r4_exactly_the_request_host_and_the_target_at_the_targets_port_change_and_the_rest_stays(
            host in prop::sample::select(HOSTS.to_vec()),
            port in prop::option::of(prop::sample::select(vec![80_u16, 443, 8080, 8081, 8082])),
            https in any::<bool>(),
            rest in "([/?#][ -~]{0,20})?",
        ) {
            let scheme = if https { "https" } else { "http" };
            let colon_port = port.map(|port| format!(":{port}")).unwrap_or_default();
            let value = format!("{scheme}://{host}{colon_port}{rest}");
            let ours = ["www.example.com", "10.0.0.5"].contains(&host.to_ascii_lowercase().as_str());
            let wanted = (ours && port == Some(8081)).then(|| format!("http://www.example.com{rest}"));
            prop_assert_eq!(repaired(&value, &ends("www.example.com")), wanted);
        }
    }
}
