use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::{SameSite, Stickiness};

const NOW: u64 = 1_800_000_000;
const DAY: Duration = Duration::from_secs(86_400);
const APP: Scope<'static> = Scope::Targets { group: "app" };
const OLD: &str = "old-0123456789abcdef0123456789abcdef";
const NEW: &str = "new-0123456789abcdef0123456789abcdef";

fn keys(text: &str) -> Keys {
    Keys::parse(text).unwrap()
}

fn target(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn first_tag(keys: &Keys, group: &str, address: &str) -> Tag {
    keys.target_tags(group, target(address)).next().unwrap()
}

fn stickiness(app_cookie: Option<&str>) -> Stickiness {
    Stickiness {
        cookie: "WEIR".into(),
        app_cookie: app_cookie.map(Into::into),
        duration: Duration::from_secs(10),
        secure: false,
        same_site: None,
    }
}

fn fields<'v>(values: &'v [&'v str]) -> impl Iterator<Item = &'v [u8]> {
    values.iter().map(|value| value.as_bytes())
}

/// The target by the way that a shard goes: tags of all keys in one map.
fn targets_by_tag(keys: &Keys, group: &str, targets: &[SocketAddr]) -> HashMap<Tag, usize> {
    let tagged = targets.iter().enumerate();
    tagged.flat_map(|(index, &target)| keys.target_tags(group, target).map(move |tag| (tag, index))).collect()
}

#[test]
fn r_s1_a_cookie_leads_to_the_target_that_it_was_made_for() {
    let keys = keys(NEW);
    let targets = [target("10.0.0.1:80"), target("10.0.0.1:81"), target("10.0.0.2:80"), target("[fd00::1]:80")];
    let by_tag = targets_by_tag(&keys, "app", &targets);
    for (index, &target) in targets.iter().enumerate() {
        let value = keys.seal(APP, keys.target_tags("app", target).next().unwrap(), NOW);
        let tag = keys.open(APP, &value, NOW, DAY).unwrap();
        assert_eq!(by_tag[&tag], index);
    }
}

#[test]
fn r_s1_a_session_is_over_to_the_second() {
    let keys = keys(NEW);
    let tag = first_tag(&keys, "app", "10.0.0.1:80");
    let value = keys.seal(APP, tag, NOW);
    for seconds in [1, 10, 604_800] {
        let duration = Duration::from_secs(seconds);
        assert_eq!(keys.open(APP, &value, NOW, duration), Some(tag));
        assert_eq!(keys.open(APP, &value, NOW + seconds - 1, duration), Some(tag));
        assert_eq!(keys.open(APP, &value, NOW + seconds, duration), None);
        assert_eq!(keys.open(APP, &value, u64::MAX, duration), None);
    }
}

#[test]
fn r_s1_a_cookie_of_the_future_counts_only_as_far_as_clocks_differ() {
    let keys = keys(NEW);
    let tag = first_tag(&keys, "app", "10.0.0.1:80");
    let value = keys.seal(APP, tag, NOW);
    assert_eq!(keys.open(APP, &value, NOW - 10, DAY), Some(tag));
    assert_eq!(keys.open(APP, &value, NOW - 11, DAY), None);
    assert_eq!(keys.open(APP, &value, 0, DAY), None);
}

#[test]
fn r_s1_any_balancer_with_the_same_secret_understands_it_and_this_is_its_form() {
    let keys = keys(NEW);
    let tag = first_tag(&keys, "app", "10.0.0.1:80");
    let value = keys.seal(APP, tag, NOW);
    assert_eq!(str::from_utf8(&value), Ok("AQBrSdIAPrLvojpVnW_y6_njxG3QHt9MP92dwgSh"));
    assert_eq!(Keys::parse(&format!("# comment\n\n  {NEW}\r\n")).unwrap().open(APP, &value, NOW, DAY), Some(tag));
}

#[test]
fn r_s1_a_value_tells_neither_address_nor_port_nor_group() {
    let keys = keys(NEW);
    let mut seen = HashSet::new();
    for group in ["app", "api"] {
        for address in ["10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80", "[::ffff:10.0.0.1]:80", "[::1]:80"] {
            assert!(seen.insert(first_tag(&keys, group, address)), "{group} {address}: two have one tag");
        }
    }
    let other = Keys::parse(OLD).unwrap();
    assert!(!seen.contains(&first_tag(&other, "app", "10.0.0.1:80")), "a tag depends on the secret");
}

#[test]
fn r_s1_a_cookie_of_another_group_listener_or_rule_is_none() {
    let keys = keys(NEW);
    let rule = Scope::Groups { listener: "app", rule: Some(1) };
    let scopes = [
        APP,
        Scope::Targets { group: "app2" },
        Scope::Targets { group: "" },
        rule,
        Scope::Groups { listener: "app", rule: Some(2) },
        Scope::Groups { listener: "app", rule: None },
        Scope::Groups { listener: "web", rule: Some(1) },
    ];
    let tag = first_tag(&keys, "app", "10.0.0.1:80");
    for sealed in scopes {
        let value = keys.seal(sealed, tag, NOW);
        for opened in scopes {
            assert_eq!(keys.open(opened, &value, NOW, DAY).is_some(), sealed == opened, "{sealed:?} {opened:?}");
        }
    }
}

#[test]
fn r_s1_while_rotating_old_cookies_are_accepted_and_new_ones_use_the_first_key() {
    let (before, during, after) = (keys(OLD), keys(&format!("{NEW}\n{OLD}")), keys(NEW));
    let targets = [target("10.0.0.1:80"), target("10.0.0.2:80")];
    let by_tag = targets_by_tag(&during, "app", &targets);

    let old = before.seal(APP, before.target_tags("app", targets[1]).next().unwrap(), NOW);
    let tag = during.open(APP, &old, NOW, DAY).expect("an old key is accepted");
    assert_eq!(by_tag[&tag], 1, "the tag under the old key is known");
    assert_eq!(after.open(APP, &old, NOW, DAY), None, "and not once it is gone");

    let new = during.seal(APP, during.target_tags("app", targets[1]).next().unwrap(), NOW);
    assert!(after.open(APP, &new, NOW, DAY).is_some());
    assert_eq!(before.open(APP, &new, NOW, DAY), None);
}

#[test]
fn r_r3_group_stickiness_leads_to_the_group_and_each_rule_has_a_cookie_of_its_own() {
    let keys = keys(&format!("{NEW}\n{OLD}"));
    let scope = Scope::Groups { listener: "web", rule: Some(10) };
    let blue = keys.group_tags("web", Some(10), "blue").next().unwrap();
    let value = keys.seal(scope, blue, NOW);
    let sent = format!("{}={}", of_rule(Some(10), DAY).cookie, String::from_utf8_lossy(&value));
    let found = session(&keys, scope, &of_rule(Some(10), DAY), fields(&[&sent]), NOW);
    assert_eq!(found, Some(blue));
    assert!(keys.group_tags("web", Some(10), "green").all(|green| green != blue));
    assert_eq!(session(&keys, scope, &of_rule(Some(11), DAY), fields(&[&sent]), NOW), None);
    assert_ne!(of_rule(None, DAY).cookie, of_rule(Some(10), DAY).cookie);
}

#[test]
fn a_secret_file_is_read_line_by_line() {
    let two = keys(&format!("{NEW}\n# until Monday\n\n{OLD}\n"));
    assert_eq!(format!("{two:?}"), "Keys(2)");
    assert_eq!(two, keys(&format!("  {NEW}  \n{OLD}")));
    assert_ne!(two, keys(&format!("{OLD}\n{NEW}")));
    assert_ne!(Keys::from_random([1; 32]), Keys::from_random([2; 32]));
}

#[test]
fn a_secret_file_that_is_wrong_names_the_line_and_quotes_nothing() {
    let long = "x".repeat(1025);
    let many = format!("{NEW}\n").repeat(9);
    for (text, wanted) in [
        ("", KeysError::Empty),
        ("\n# nothing\n  \n", KeysError::Empty),
        ("0123456789abcdef0123456789abcde", KeysError::NotASecret { line: 1 }),
        (&format!("{NEW}\nshort"), KeysError::NotASecret { line: 2 }),
        (&format!("{NEW}\n\ntwo words 0123456789abcdef0123456789abcdef"), KeysError::NotASecret { line: 3 }),
        ("0123456789abcdef0123456789abcdé0", KeysError::NotASecret { line: 1 }),
        (&long, KeysError::NotASecret { line: 1 }),
        (&many, KeysError::TooMany { line: 9 }),
    ] {
        let error = Keys::parse(text).unwrap_err();
        assert_eq!(error, wanted, "{text}");
        let message = error.to_string();
        assert!(!message.contains("short") && !message.contains("words"), "{message}");
    }
}

#[test]
fn r_s1_a_session_is_found_among_other_cookies_and_fields() {
    let keys = keys(NEW);
    let tag = first_tag(&keys, "app", "10.0.0.1:80");
    let value = String::from_utf8(keys.seal(APP, tag, NOW).to_vec()).unwrap();
    for sent in [
        vec![format!("WEIR={value}")],
        vec![format!("a=b; WEIR={value}; c=d")],
        vec![format!("a=b;WEIR={value}")],
        vec!["a=b".to_owned(), format!("WEIR = {value} ;")],
        vec![format!("WEIR=\"{value}\"")],
        vec![format!("WEIR=stale; WEIR={value}")],
        vec![format!(";;=;WEIR;=x;{{\"a\":1}}; WEIR={value}")],
    ] {
        let values: Vec<&str> = sent.iter().map(String::as_str).collect();
        assert_eq!(session(&keys, APP, &stickiness(None), fields(&values), NOW), Some(tag), "{sent:?}");
    }
    for sent in
        ["", "WEIR", "WEIR=", "weir={value}", "XWEIR={value}", "WEIRX={value}", "a=WEIR={value}", "WEIR={value}x"]
    {
        let sent = sent.replace("{value}", &value);
        assert_eq!(session(&keys, APP, &stickiness(None), fields(&[&sent]), NOW), None, "{sent}");
    }
}

#[test]
fn r_s1_a_head_full_of_our_cookies_costs_four_looks() {
    let keys = keys(NEW);
    let tag = first_tag(&keys, "app", "10.0.0.1:80");
    let value = String::from_utf8(keys.seal(APP, tag, NOW).to_vec()).unwrap();
    let after = |stale: usize| "WEIR=stale; ".repeat(stale) + "WEIR=" + &value;
    assert_eq!(session(&keys, APP, &stickiness(None), fields(&[&after(3)]), NOW), Some(tag));
    assert_eq!(session(&keys, APP, &stickiness(None), fields(&[&after(4)]), NOW), None);
}

#[test]
fn r_s1_every_response_refreshes_the_cookie() {
    assert!(is_due(&stickiness(None), fields(&[]), fields(&[])));
    assert!(is_due(&stickiness(None), fields(&["a=b"]), fields(&["a=b"])));
}

#[test]
fn r_s2_the_companion_is_set_when_the_target_sets_the_cookie_that_it_follows() {
    let followed = stickiness(Some("SESSION"));
    for set in ["SESSION=1", "SESSION=1; Path=/; HttpOnly", " SESSION =\"1\"", "SESSION="] {
        assert!(is_due(&followed, fields(&[]), fields(&["a=b", set])), "{set}");
    }
    for set in ["", "SESSION", "session=1", "a=b; SESSION=1", "SESSIONS=1", "=SESSION=1"] {
        assert!(!is_due(&followed, fields(&[]), fields(&[set])), "{set}");
    }
}

#[test]
fn r_s2_the_companion_is_refreshed_while_the_client_sends_the_cookie_that_it_follows() {
    let followed = stickiness(Some("SESSION"));
    assert!(is_due(&followed, fields(&["WEIR=x; SESSION=1"]), fields(&[])));
    assert!(!is_due(&followed, fields(&["WEIR=x"]), fields(&[])));
}

#[test]
fn r_s2_without_the_cookie_that_it_follows_the_companion_holds_nobody() {
    let keys = keys(NEW);
    let tag = first_tag(&keys, "app", "10.0.0.1:80");
    let companion = format!("WEIR={}", String::from_utf8_lossy(&keys.seal(APP, tag, NOW)));
    let followed = stickiness(Some("SESSION"));
    assert_eq!(session(&keys, APP, &followed, fields(&[&companion]), NOW), None);
    assert_eq!(session(&keys, APP, &followed, fields(&["SESSION=1", &companion]), NOW), Some(tag));
    assert_eq!(session(&keys, APP, &followed, fields(&["SESSION=1"]), NOW), None);
}

#[test]
fn r_s4_the_session_of_a_target_that_is_gone_names_nobody() {
    let keys = keys(NEW);
    let gone = first_tag(&keys, "app", "10.0.0.1:80");
    let left = targets_by_tag(&keys, "app", &[target("10.0.0.2:80")]);
    let tag = keys.open(APP, &keys.seal(APP, gone, NOW), NOW, DAY).unwrap();
    assert_eq!(left.get(&tag), None);
}

#[test]
fn r_s1_the_cookie_has_the_attributes_that_the_group_says() {
    let line = |stickiness: &Stickiness| {
        let mut out = b"before|".to_vec();
        set_cookie_line(stickiness, b"value", &mut out);
        String::from_utf8(out).unwrap().split_off(7)
    };
    let plain = stickiness(None);
    assert_eq!(line(&plain), "Set-Cookie: WEIR=value; Path=/; Max-Age=10; HttpOnly\r\n");
    for (same_site, text) in [(SameSite::Strict, "Strict"), (SameSite::Lax, "Lax"), (SameSite::None, "None")] {
        let all = Stickiness { secure: true, same_site: Some(same_site), duration: DAY * 7, ..plain.clone() };
        let wanted = format!("Set-Cookie: WEIR=value; Path=/; Max-Age=604800; HttpOnly; Secure; SameSite={text}\r\n");
        assert_eq!(line(&all), wanted);
    }
}

/// `cookie` in the plainest words.
fn naive(fields: &[String], name: &str) -> Vec<String> {
    let mut values = Vec::new();
    for pair in fields.join(";").split(';') {
        let Some((found, value)) = pair.split_once('=') else { continue };
        let value = value.trim_matches(WHITE);
        let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        if found.trim_matches(WHITE) == name {
            values.push(inner.unwrap_or(value).to_owned());
        }
    }
    values
}

const WHITE: [char; 2] = [' ', '\t'];

proptest! {
    #[test]
    fn r_s1_whatever_is_sealed_opens_until_it_is_over(
        secret in "[!-~]{32,64}", group in ".{0,90}", port in any::<u16>(), now in 0_u64..1 << 39, age in 0_u64..700_000,
        duration in 1_u64..=604_800,
    ) {
        prop_assume!(!secret.starts_with('#'));
        let keys = keys(&secret);
        let scope = Scope::Targets { group: &group };
        let tag = keys.target_tags(&group, ([10, 0, 0, 1], port).into()).next().unwrap();
        let value = keys.seal(scope, tag, now);
        let opened = keys.open(scope, &value, now + age, Duration::from_secs(duration));
        prop_assert_eq!(opened, (age < duration).then_some(tag));
    }

    #[test]
    fn r_s1_a_value_with_any_bit_flipped_is_refused(bit in 0..VALUE_BYTES * 8, now in 0_u64..1 << 39) {
        let keys = keys(&format!("{NEW}\n{OLD}"));
        let mut value = keys.seal(APP, first_tag(&keys, "app", "10.0.0.1:80"), now);
        value[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(keys.open(APP, &value, now, DAY), None);
    }

    #[test]
    fn r_s1_a_forged_value_is_refused(value in prop::collection::vec(any::<u8>(), 0..60), text in "[A-Za-z0-9_-]{40}") {
        let keys = keys(NEW);
        prop_assert_eq!(keys.open(APP, &value, NOW, DAY), None);
        prop_assert_eq!(keys.open(APP, text.as_bytes(), NOW, DAY), None);
    }

    #[test]
    fn r_s1_another_key_and_another_group_refuse_it(other in "[!-~]{32,64}", group in ".{0,90}") {
        prop_assume!(other != NEW && !other.starts_with('#') && group != "app");
        let ours = keys(NEW);
        let value = ours.seal(APP, first_tag(&ours, "app", "10.0.0.1:80"), NOW);
        prop_assert_eq!(keys(&other).open(APP, &value, NOW, DAY), None);
        prop_assert_eq!(ours.open(Scope::Targets { group: &group }, &value, NOW, DAY), None);
    }

    #[test]
    fn any_cookie_fields_are_read_as_by_a_naive_reader(
        sent in prop::collection::vec("([ \t]{0,2}[aB\"]{0,2}[ \t]?[=;]?[ \t]?[aB=\"é]{0,3}[ \t]?;?){0,6}", 0..4),
    ) {
        for name in ["a", "B", "aB"] {
            let found = cookie(sent.iter().map(String::as_bytes), name);
            let found: Vec<String> = found.map(|value| String::from_utf8_lossy(value).into_owned()).collect();
            prop_assert_eq!(found, naive(&sent, name));
        }
    }

    #[test]
    fn any_bytes_in_cookies_are_taken(
        sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..4),
        set in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..4),
    ) {
        let keys = keys(NEW);
        let (sent, set) = (sent.iter().map(Vec::as_slice), set.iter().map(Vec::as_slice));
        for stickiness in [stickiness(None), stickiness(Some("a"))] {
            prop_assert_eq!(session(&keys, APP, &stickiness, sent.clone(), NOW), None);
            let _ = is_due(&stickiness, sent.clone(), set.clone());
        }
    }
}
