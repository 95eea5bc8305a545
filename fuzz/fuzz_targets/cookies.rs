//! Cookies of a request: found as a plain reader finds them, and a session is one only by a value that we sealed.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use weir::config::Stickiness;
use weir::l7::stickiness::{Keys, Scope, Tag, cookie, is_due, session};

const SECRETS: &str = "0123456789abcdef0123456789abcdef\nfedcba9876543210fedcba9876543210";
const OLD_SECRET: &str = "fedcba9876543210fedcba9876543210";
const GROUP: Scope<'static> = Scope::Targets { group: "app" };
const NOW: u64 = 1_800_000_000;
const DURATION_S: u64 = 10;

fuzz_target!(|data: &[u8]| {
    let keys = Keys::parse(SECRETS).expect("two secrets");
    let (tag, old_tag) = (tag(&keys), tag(&Keys::parse(OLD_SECRET).expect("a secret")));
    // The fuzzer cannot forge a value, so these bytes stand for some.
    let values = [
        (1, value(SECRETS, tag, NOW)),
        (2, value(OLD_SECRET, old_tag, NOW - DURATION_S + 1)),
        (3, value(SECRETS, tag, NOW - DURATION_S)),
    ];
    let mut input = Vec::new();
    for &byte in data {
        match values.iter().find(|(stand_in, _)| *stand_in == byte) {
            Some((_, value)) => input.extend_from_slice(value),
            None => input.push(byte),
        }
    }
    // A line is a field: the first ones of the request, those after an empty line of the response.
    let mut lines = input.split(|&byte| byte == b'\n');
    let fields: Vec<&[u8]> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    let set_cookies: Vec<&[u8]> = lines.collect();

    let ours = naive(&fields, b"W");
    let found: Vec<&[u8]> = cookie(fields.iter().copied(), "W").collect();
    assert_eq!(found, ours);

    let valid = |sent: &[u8]| values[..2].iter().zip([tag, old_tag]).find(|((_, value), _)| value == sent);
    let named = ours.iter().take(4).find_map(|&sent| valid(sent)).map(|(_, tag)| tag);
    let follows = !naive(&fields, b"S").is_empty();
    let set = set_cookies.iter().any(|line| {
        let pair = line.split(|&byte| byte == b';').next().unwrap_or_default();
        !naive(&[pair], b"S").is_empty()
    });
    for app_cookie in [None, Some("S")] {
        let stickiness = stickiness(app_cookie);
        let given = session(&keys, GROUP, &stickiness, fields.iter().copied(), NOW);
        assert_eq!(given, named.filter(|_| app_cookie.is_none() || follows));
        let due = is_due(&stickiness, fields.iter().copied(), set_cookies.iter().copied());
        assert_eq!(due, app_cookie.is_none() || follows || set);
    }
});

/// `cookie` in the plainest words.
fn naive<'v>(fields: &[&'v [u8]], name: &[u8]) -> Vec<&'v [u8]> {
    let mut values = Vec::new();
    for pair in fields.iter().flat_map(|field| field.split(|&byte| byte == b';')) {
        let mut halves = pair.splitn(2, |&byte| byte == b'=');
        let (Some(found), Some(value)) = (halves.next(), halves.next()) else { continue };
        let value = value.trim_ascii();
        let quoted = value.len() > 1 && value.starts_with(b"\"") && value.ends_with(b"\"");
        if found.trim_ascii() == name {
            values.push(if quoted { &value[1..value.len() - 1] } else { value });
        }
    }
    values
}

fn tag(keys: &Keys) -> Tag {
    keys.target_tags("app", ([10, 0, 0, 1], 80).into()).next().expect("one for each key")
}

fn value(secrets: &str, tag: Tag, issued: u64) -> Vec<u8> {
    Keys::parse(secrets).expect("secrets").seal(GROUP, tag, issued).to_vec()
}

fn stickiness(app_cookie: Option<&str>) -> Stickiness {
    Stickiness {
        cookie: "W".into(),
        app_cookie: app_cookie.map(Into::into),
        duration: Duration::from_secs(DURATION_S),
        secure: false,
        same_site: None,
    }
}
