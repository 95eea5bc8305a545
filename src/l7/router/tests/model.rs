//! The compiled router against one that tries each rule in turn, and against arbitrary bytes.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use regex::bytes::RegexBuilder;

use super::*;

/// Whether a pattern matches, by trying every way.
fn wild(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((b'*', after)), rest) => wild(after, text) || rest.is_some_and(|(_, rest)| wild(pattern, rest)),
        (Some((b'?', pattern)), Some((_, rest))) => wild(pattern, rest),
        (Some((byte, pattern)), Some((given, rest))) => byte == given && wild(pattern, rest),
        (Some(_), None) => false,
    }
}

fn wild_in_either_case(pattern: &str, text: &str) -> bool {
    wild(pattern.to_ascii_lowercase().as_bytes(), text.to_ascii_lowercase().as_bytes())
}

#[derive(Debug)]
struct Asked {
    host: String,
    path: String,
    query: Option<String>,
    method: String,
    client: IpAddr,
    fields: Vec<(String, String)>,
}

impl Asked {
    fn falls_under(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Host(hosts) => hosts.iter().any(|host| wild_in_either_case(host, &self.host)),
            Condition::Path(paths) => paths.iter().any(|path| match path {
                PathMatch::Pattern(pattern) => wild(pattern.as_bytes(), self.path.as_bytes()),
                PathMatch::Prefix(prefix) => self.path.starts_with(&**prefix),
                PathMatch::Regex(text) => {
                    let regex = RegexBuilder::new(text).unicode(false).build().unwrap();
                    regex.is_match(self.path.as_bytes())
                }
            }),
            Condition::Method(methods) => methods.iter().any(|method| **method == *self.method),
            Condition::Header { name, values } => self.fields.iter().any(|(field, given)| {
                field.eq_ignore_ascii_case(name) && values.iter().any(|value| wild_in_either_case(value, given))
            }),
            Condition::Query(queries) => self.parameters().any(|(given_key, given)| {
                queries.iter().any(|query| {
                    let key = query.key.as_ref().is_none_or(|key| wild_in_either_case(key, given_key));
                    key && wild_in_either_case(&query.value, given)
                })
            }),
            Condition::SourceIp(networks) => networks.iter().any(|network| network.contains(&self.client)),
        }
    }

    fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let query = self.query.as_deref().unwrap_or_default();
        query.split('&').filter(|one| !one.is_empty()).map(|one| one.split_once('=').unwrap_or((one, "")))
    }
}

fn condition() -> impl Strategy<Value = Condition> {
    let host = "[ab*?]{1,2}(\\.[aB*]{1,2}){0,3}";
    let path = prop_oneof![
        "/[ab*?/]{0,5}".prop_map(|text| PathMatch::Pattern(text.into())),
        "/[ab/]{0,3}".prop_map(|text| PathMatch::Prefix(text.into())),
        "\\^?/[ab/]{0,2}(a\\+|\\[ab\\]|b\\?)?\\$?".prop_map(|text| PathMatch::Regex(text.into())),
        Just(PathMatch::Pattern("/a-path-that-is-longer-than-the-gate".into())),
    ];
    let text = || "[aB*?]{0,3}".prop_map(Arc::<str>::from);
    let name = || "[xy]".prop_map(Arc::<str>::from);
    prop_oneof![
        3 => vec(host.prop_map(Arc::from), 1..4).prop_map(Condition::Host),
        3 => vec(path, 1..4).prop_map(Condition::Path),
        1 => vec(select(vec!["GET", "PUT"]).prop_map(Arc::from), 1..2).prop_map(Condition::Method),
        1 => (name(), vec(text(), 1..3)).prop_map(|(name, values)| Condition::Header { name, values }),
        1 => vec((option::of(name()), text()), 1..3).prop_map(|pairs| {
            Condition::Query(pairs.into_iter().map(|(key, value)| QueryMatch { key, value }).collect())
        }),
        1 => vec((0u8..3, 24u8..=32), 1..3).prop_map(|networks| {
            let network = |(last, length)| ipnet::Ipv4Net::new([10, 0, 0, last].into(), length).unwrap().into();
            Condition::SourceIp(networks.into_iter().map(network).collect())
        }),
    ]
}

/// At most one of each kind, save headers and queries.
fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    vec(condition(), 0..4).prop_map(|conditions| {
        let mut kept: Vec<Condition> = Vec::new();
        for condition in conditions {
            let is_repeatable = matches!(condition, Condition::Header { .. } | Condition::Query(_));
            let is_new = kept.iter().all(|one| std::mem::discriminant(one) != std::mem::discriminant(&condition));
            if is_repeatable || is_new {
                kept.push(condition);
            }
        }
        kept
    })
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    vec(conditions(), 0..12)
        .prop_map(|all| (1..).zip(all).map(|(priority, conditions)| rule(priority, conditions)).collect())
}

fn asked() -> impl Strategy<Value = Asked> {
    let path = prop_oneof!["/[ab/]{0,5}", Just("/a-path-that-is-longer-than-the-gate".to_owned())];
    (
        "[abA]{1,2}(\\.[abA]{1,2}){0,3}",
        path,
        option::of("([xya]=?[abA]{0,2}&?){0,3}"),
        select(vec!["GET".to_owned(), "PUT".to_owned(), "get".to_owned()]),
        0u8..4,
        vec(("[xyX]", "[abA]{0,3}"), 0..4),
    )
        .prop_map(|(host, path, query, method, last, fields)| Asked {
            host,
            path,
            query,
            method,
            client: IpAddr::from([10, 0, 0, last]),
            fields,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn r_r1_the_router_agrees_with_one_that_tries_each_rule_in_turn(
        rules in rules(), asked in vec(asked(), 1..8), shift in 0usize..12,
    ) {
        let mut shuffled = rules.clone();
        shuffled.rotate_left(shift.min(rules.len()));
        let router = router(shuffled);
        for one in asked {
            let fields = List(one.fields.clone());
            let subject = Subject {
                host: one.host.as_bytes(),
                path: one.path.as_bytes(),
                query: one.query.as_deref().map(str::as_bytes),
                method: one.method.as_bytes(),
                client: one.client,
                fields: &fields,
            };
            let expected = rules.iter().find(|rule| rule.conditions.iter().all(|condition| one.falls_under(condition)));
            prop_assert_eq!(router.find(&subject).priority, expected.map(|rule| rule.priority), "{:?}", one);

            let tried = router.explain(&subject);
            let above = expected.map_or(rules.len(), |rule| usize::from(rule.priority));
            prop_assert_eq!(tried.iter().map(|tried| tried.rule).collect::<Vec<_>>(), rules[..above].iter().collect::<Vec<_>>());
            for tried in &tried {
                let held: Vec<bool> = tried.rule.conditions.iter().map(|condition| one.falls_under(condition)).collect();
                prop_assert_eq!(&tried.conditions, &held, "{:?} {:?}", tried.rule, one);
                prop_assert_eq!(tried.holds(), Some(tried.rule.priority) == expected.map(|rule| rule.priority));
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_looked_up_without_panic(
        rules in rules(),
        host in any::<Vec<u8>>(), path in any::<Vec<u8>>(), query in any::<Option<Vec<u8>>>(), method in any::<Vec<u8>>(),
    ) {
        let fields = List(Vec::new());
        let query = query.as_deref();
        let subject = Subject { host: &host, path: &path, query, method: &method, client: nobody(), fields: &fields };
        let router = router(rules);
        let _ = (router.find(&subject), router.explain(&subject));
    }
}
