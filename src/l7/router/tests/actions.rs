//! What becomes of a request that fell under a rule.

use proptest::prelude::*;

use super::*;
use crate::l7::UrlScheme;

fn redirect() -> Redirect {
    Redirect {
        status: 301,
        protocol: "#{protocol}".into(),
        host: "#{host}".into(),
        port: "#{port}".into(),
        path: "/#{path}".into(),
        query: "#{query}".into(),
    }
}

fn https() -> Redirect {
    Redirect { protocol: "https".into(), port: "443".into(), ..redirect() }
}

fn origin<'a>(authority: &'a str, target: &'a str) -> Origin<'a> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Origin {
        scheme: UrlScheme::Http,
        authority: authority.as_bytes(),
        path: path.as_bytes(),
        query: query.map(str::as_bytes),
    }
}

fn location(redirect: &Redirect, origin: &Origin<'_>) -> String {
    let mut out = Vec::new();
    redirect.write_location(origin, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn refusal(redirect: Redirect, conditions: Vec<Condition>) -> Option<RouterError> {
    let rule = Rule { priority: 5, conditions, action: Action::Redirect(redirect) };
    Router::new(vec![rule], to(0)).err()
}

#[test]
fn r_r5_a_path_gets_its_slash_without_leaking_a_port() {
    let slash = Redirect { path: "/movie/".into(), ..redirect() };
    assert_eq!(refusal(slash.clone(), vec![paths(&["/movie"])]), None);
    assert_eq!(location(&slash, &origin("www.example.com", "/movie")), "http://www.example.com/movie/");
    assert_eq!(location(&slash, &origin("www.example.com", "/movie?id=1")), "http://www.example.com/movie/?id=1");
    let any = Redirect { path: "/#{path}/".into(), ..redirect() };
    assert_eq!(location(&any, &origin("www.example.com:8080", "/a/b")), "http://www.example.com:8080/a/b/");
}

#[test]
fn r_r5_http_leads_to_https() {
    assert_eq!(refusal(https(), Vec::new()), None);
    assert_eq!(location(&https(), &origin("www.example.com", "/a?b=1&c")), "https://www.example.com/a?b=1&c");
    assert_eq!(location(&https(), &origin("www.example.com:8080", "/")), "https://www.example.com/");
    let elsewhere = Redirect { port: "8443".into(), ..https() };
    assert_eq!(location(&elsewhere, &origin("[2001:db8::1]:80", "/")), "https://[2001:db8::1]:8443/");
}

#[test]
fn r_r5_a_host_leads_to_another() {
    let other = Redirect { host: "www.example.org".into(), ..redirect() };
    assert_eq!(location(&other, &origin("example.com", "/a?b")), "http://www.example.org/a?b");
    let with_www = Redirect { host: "www.#{host}".into(), query: "".into(), ..redirect() };
    assert_eq!(location(&with_www, &origin("example.com", "/a?b")), "http://www.example.com/a");
}

#[test]
fn r_r3_every_placeholder_is_filled_in() {
    let all = Redirect {
        path: "/#{protocol}/#{host}/#{port}/#{path}".into(),
        query: "from=#{protocol}:#{host}:#{port}:#{path}&#{query}".into(),
        ..redirect()
    };
    assert_eq!(refusal(all.clone(), Vec::new()), None);
    assert_eq!(
        location(&all, &origin("a.example:81", "/x?y")),
        "http://a.example:81/http/a.example/81/x?from=http:a.example:81:x&y"
    );
}

#[test]
fn r_r3_the_schemes_own_port_is_not_written() {
    assert_eq!(location(&redirect(), &origin("a:80", "/")), "http://a/");
    assert_eq!(location(&redirect(), &origin("a:443", "/")), "http://a:443/");
    assert_eq!(location(&redirect(), &origin("a:", "/")), "http://a/");
    let origin = Origin { scheme: UrlScheme::Https, ..origin("a:443", "/") };
    assert_eq!(location(&redirect(), &origin), "https://a/");
    assert_eq!(location(&Redirect { protocol: "http".into(), ..redirect() }, &origin), "http://a:443/");
}

#[test]
fn r_r3_a_location_too_long_to_be_asked_for_is_not_written() {
    let long = format!("/{}", "a".repeat(LOCATION_BYTES_MAX / 2));
    let twice = Redirect { path: "/#{path}#{path}".into(), ..redirect() };
    let mut out = b"before".to_vec();
    assert_eq!(twice.write_location(&origin("a", &long), &mut out), Err(LocationTooLong));
    assert_eq!(out, b"before");
    assert_eq!(redirect().write_location(&origin("a", &long), &mut out), Ok(()));
}

proptest! {
    #[test]
    fn no_bytes_of_a_client_split_the_header(
        authority in any::<Vec<u8>>(), path in any::<Vec<u8>>(), query in any::<Option<Vec<u8>>>(),
    ) {
        let origin = Origin { scheme: UrlScheme::Http, authority: &authority, path: &path, query: query.as_deref() };
        let mut out = Vec::new();
        redirect().write_location(&origin, &mut out).unwrap();
        prop_assert!(out.iter().all(u8::is_ascii_graphic));
    }
}

#[test]
fn r_r3_a_redirect_that_leads_to_itself_is_refused() {
    let path = |path: &str| Redirect { path: path.into(), ..redirect() };
    let host = |host: &str| Redirect { host: host.into(), ..redirect() };
    let query_only = || Redirect { query: "a=1".into(), ..redirect() };
    let refused = |redirect, conditions| refusal(redirect, conditions).is_some_and(|error| error.priority == Some(5));
    assert!(refused(redirect(), Vec::new()));
    assert!(refused(path("/a"), vec![paths(&["/a"])]));
    assert!(refused(host("A.example"), vec![hosts(&["a.EXAMPLE"])]));
    assert!(refused(query_only(), Vec::new()));
    assert!(!refused(path("/a"), vec![paths(&["/b"])]));
    assert!(!refused(path("/a"), vec![paths(&["/a", "/b"])]));
    assert!(!refused(path("/a"), vec![paths(&["/?"])]));
    assert!(!refused(host("a.example"), vec![hosts(&["*.example"])]));
    assert!(!refused(query_only(), vec![query(&[(Some("old"), "*")])]));
    assert_eq!(Router::new(Vec::new(), Action::Redirect(redirect())).unwrap_err().priority, None);
}

#[test]
fn r_r3_a_redirect_is_made_of_what_there_is() {
    for wrong in [
        Redirect { status: 300, ..https() },
        Redirect { protocol: "ftp".into(), ..https() },
        Redirect { protocol: "#{host}".into(), ..https() },
        Redirect { port: "0".into(), ..https() },
        Redirect { port: "65536".into(), ..https() },
        Redirect { port: "#{path}".into(), ..https() },
        Redirect { host: "".into(), ..https() },
        Redirect { host: "a@b".into(), ..https() },
        Redirect { host: "#{path}".into(), ..https() },
        Redirect { path: "a".into(), ..https() },
        Redirect { path: "/a?b".into(), ..https() },
        Redirect { path: "/#{query}".into(), ..https() },
        Redirect { path: "/#{file}".into(), ..https() },
        Redirect { path: "/#{path".into(), ..https() },
        Redirect { path: "/a b".into(), ..https() },
        Redirect { path: "/a\r\nb: c".into(), ..https() },
        Redirect { query: "a#b".into(), ..https() },
    ] {
        assert!(refusal(wrong.clone(), Vec::new()).is_some(), "{wrong:?}");
    }
    let error = refusal(Redirect { path: "/#{file}/".into(), ..https() }, Vec::new()).unwrap();
    assert_eq!(error.what, "\"#{file}\" has no meaning in the path of a redirect");
    for status in [301, 302, 303, 307, 308] {
        assert_eq!(refusal(Redirect { status, ..https() }, Vec::new()), None);
    }
}

#[test]
fn r_r3_a_fixed_response_is_bounded() {
    let response = |status, body: String| {
        let fixed = FixedResponse { status, content_type: "text/plain".into(), body: body.into() };
        Router::new(vec![Rule { action: Action::FixedResponse(fixed), ..rule(1, Vec::new()) }], to(0))
    };
    assert!(response(200, "a".repeat(1024)).is_ok());
    assert!(response(599, String::new()).is_ok());
    assert!(response(200, "a".repeat(1025)).is_err());
    assert!(response(199, String::new()).is_err());
    assert!(response(600, String::new()).is_err());
    let split = FixedResponse { status: 200, content_type: "a\r\nb".into(), body: "".into() };
    assert!(Router::new(Vec::new(), Action::FixedResponse(split)).is_err());
}

fn weighted(weights: &[u16]) -> Forward {
    let groups = weights.iter().enumerate().map(|(group, weight)| WeightedGroup { group, weight: *weight }).collect();
    Forward { groups, group_stickiness: None, rewrite: None }
}

#[test]
fn r_r3_groups_get_requests_by_weight_and_none_at_weight_0() {
    let forward = weighted(&[0, 1, 0, 3, 0]);
    let mut counts = [0; 5];
    let step = u64::MAX / 400;
    for index in 0..400 {
        counts[forward.choose_group(index * step + step / 2)] += 1;
    }
    assert_eq!(counts, [0, 100, 0, 300, 0]);
    assert_eq!(forward.choose_group(0), 1);
    assert_eq!(forward.choose_group(u64::MAX), 3);
}

#[test]
fn r_r3_a_forward_that_sends_nowhere_is_refused() {
    let refused = |weights: &[u16]| Router::new(Vec::new(), Action::Forward(weighted(weights))).is_err();
    assert!(refused(&[]));
    assert!(refused(&[0, 0]));
    assert!(refused(&[1000]));
    assert!(!refused(&[0, 999]));
}

proptest! {
    #[test]
    fn r_r3_no_roll_chooses_a_group_of_weight_0(weights in prop::collection::vec(0u16..4, 1..6), roll in any::<u64>()) {
        prop_assume!(weights.iter().any(|weight| *weight > 0));
        prop_assert!(weights[weighted(&weights).choose_group(roll)] > 0);
    }
}

/// What becomes of `authority` and `target` by a rule's rewrite of host and path.
fn rewritten(
    host: Option<(&str, &str)>,
    path: Option<(&str, &str)>,
    authority: &str,
    target: &str,
) -> (Transform, String, String) {
    let replace =
        |pair: Option<(&str, &str)>| pair.map(|(regex, with)| Replace { regex: regex.into(), with: with.into() });
    let forward = Forward { rewrite: Some(Rewrite { host: replace(host), path: replace(path) }), ..weighted(&[1]) };
    let router = Router::new(Vec::new(), Action::Forward(forward)).unwrap();
    let fields = List(Vec::new());
    let subject = Subject { host: b"", path: b"/", query: None, method: b"GET", client: nobody(), fields: &fields };
    let Decision::Forward(_, Some(rewriter)) = router.find(&subject).decision else { panic!("it rewrites") };
    let asked = origin(authority, target);
    let host_bytes = authority.find(':').unwrap_or(authority.len());
    let original = Original { authority: authority.as_bytes(), host_bytes, path: asked.path, query: asked.query };
    let (mut scratch, mut path, mut host) = (b"old".to_vec(), b"old".to_vec(), b"old".to_vec());
    let transform = rewriter.rewrite(&original, &mut scratch, &mut path, &mut host);
    (transform, String::from_utf8(path).unwrap(), String::from_utf8(host).unwrap())
}

fn rewritten_path(regex: &str, with: &str, target: &str) -> (Transform, String) {
    let (transform, path, host) = rewritten(None, Some((regex, with)), "a.example", target);
    assert_eq!(host, "");
    (transform, path)
}

fn rewritten_host(regex: &str, with: &str, authority: &str) -> (Transform, String) {
    let (transform, path, host) = rewritten(Some((regex, with)), None, authority, "/");
    assert_eq!(path, "");
    (transform, host)
}

#[test]
fn r_r3_the_first_match_in_path_and_query_is_rewritten() {
    let success = |path: &str| (Transform::Success, path.to_owned());
    assert_eq!(rewritten_path("^/old/(.*)$", "/new/$1", "/old/a?b=1"), success("/new/a?b=1"));
    assert_eq!(rewritten_path("a", "b", "/aa"), success("/ba"));
    assert_eq!(rewritten_path("^/([^/]*)/([^?]*)", "/$2/$1x", "/a/b?c"), success("/b/ax?c"));
    assert_eq!(rewritten_path(r"\?.*$", "", "/a?b"), success("/a"));
    assert_eq!(rewritten_path("^/a(x)?", "/$1$$$0", "/a/b"), success("/$/a/b"));
    assert_eq!(rewritten_path("^/nothing", "/x", "/a"), success(""));
    assert_eq!(rewritten_path("^/a", "/a", "/a"), success(""));
    assert_eq!(rewritten_path(".", "x", "*"), success(""));
}

#[test]
fn r_r3_a_rewrite_never_makes_a_path_that_is_none() {
    let invalid = (Transform::InvalidPath, String::new());
    assert_eq!(rewritten_path("^/", "", "/a"), invalid);
    assert_eq!(rewritten_path("^/a$", "", "/a"), invalid);
    assert_eq!(rewritten_path("a", " HTTP/1.1\r\nx: ", "/a"), invalid);
    assert_eq!(rewritten_path("a", "#", "/a"), invalid);
    assert_eq!(rewritten_path("a", "\u{7f}", "/a"), invalid);
    let long = format!("/{}", "a".repeat(9_000));
    assert_eq!(rewritten_path("^/(.*)", "/$1$1", &long), (Transform::TooLong, String::new()));
}

#[test]
fn r_r3_a_host_is_rewritten_and_keeps_its_port() {
    let success = |host: &str| (Transform::Success, host.to_owned());
    let pattern = "^site-(.+)[.]com$";
    assert_eq!(rewritten_host(pattern, "in.$1.net", "site-a.com"), success("in.a.net"));
    assert_eq!(rewritten_host(pattern, "in.$1.net", "site-a.com:8080"), success("in.a.net:8080"));
    assert_eq!(rewritten_host(pattern, "in.$1.net:81", "site-a.com:8080"), success("in.a.net:81"));
    assert_eq!(rewritten_host(pattern, "x", "other.com"), success(""));
    assert_eq!(rewritten_host(".*", "", "a.com"), (Transform::InvalidHost, String::new()));
    assert_eq!(rewritten_host("a", "b\r\nx: y", "a.com"), (Transform::InvalidHost, String::new()));
    assert_eq!(rewritten_host("a", "b@c", "a.com"), (Transform::InvalidHost, String::new()));
    assert_eq!(rewritten_host("a", &"b".repeat(300), "a.com"), (Transform::TooLong, String::new()));
}

#[test]
fn r_r3_where_one_part_cannot_be_rewritten_nothing_is() {
    let (transform, path, host) = rewritten(Some(("a", "")), Some(("a", "b")), "a", "/a");
    assert_eq!((transform, &*path, &*host), (Transform::InvalidHost, "", ""));
    let (transform, path, host) = rewritten(Some(("a", "b")), Some(("a", "b")), "a", "/a");
    assert_eq!((transform, &*path, &*host), (Transform::Success, "/b", "b"));
}

#[test]
fn r_r3_a_replacement_names_groups_that_there_are() {
    let refused = |regex: &str, with: &str| {
        let path = Some(Replace { regex: regex.into(), with: with.into() });
        let forward = Forward { rewrite: Some(Rewrite { host: None, path }), ..weighted(&[1]) };
        Router::new(Vec::new(), Action::Forward(forward)).is_err()
    };
    assert!(refused("a", "$1"));
    assert!(refused("(a)", "$2"));
    assert!(refused("a", "$"));
    assert!(refused("a", "$x"));
    assert!(refused("(a", "b"));
    assert!(refused("a", &"b".repeat(1025)));
    assert!(!refused("(a)", "$0$1$10$$"));
}

proptest! {
    #[test]
    fn what_is_rewritten_fits_a_request(
        regex in "[a/.(|)*]{1,6}", with in "[a/ \r\n:$#?]{0,6}", target in "/[a/?]{0,6}", authority in "[a.]{1,4}(:80)?",
    ) {
        let path = Some(Replace { regex: regex.clone().into(), with: with.clone().into() });
        let forward = Forward { rewrite: Some(Rewrite { host: None, path }), ..weighted(&[1]) };
        prop_assume!(Router::new(Vec::new(), Action::Forward(forward)).is_ok());
        let both = Some((&*regex, &*with));
        let (_, path, host) = rewritten(both, both, &authority, &target);
        prop_assert!(path.is_empty() || path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert!(host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'));
    }
}
