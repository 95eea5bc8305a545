//! Http listeners, rules and groups that a config can describe.

use std::num::NonZeroU64;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::*;
use crate::l7::router::{
    Action, Condition, FixedResponse, Forward, PathMatch, QueryMatch, Redirect, Replace, Rewrite, Router, Rule,
    WeightedGroup,
};
use crate::l7::stickiness::of_rule;

/// A listener that may forward to these groups.
pub(super) fn http(groups: Vec<usize>) -> impl Strategy<Value = Http> {
    let timeouts = (millis(&limits::HEADER_TIMEOUT), millis(&limits::BODY_TIMEOUT), millis(&limits::SEND_TIMEOUT));
    let pages = btree_map(select(&limits::OWN_STATUSES[..]), ("[a-z/]{1,20}[.]html", content_type()), 0..3);
    let hygiene = select(vec![Hygiene::Monitor, Hygiene::Defensive, Hygiene::Strictest]);
    let forwarded = select(vec![Forwarded::Append, Forwarded::Preserve, Forwarded::Remove]);
    let server = option::of("[!-~]([ -~]{0,30}[!-~])?".prop_map(Arc::from));
    let rest = (hygiene, forwarded, any::<bool>(), server, option::of(limits::REQUEST_BODY_BYTES), pages);
    (timeouts, rest, router(groups)).prop_map(
        |(
            (header_timeout, body_timeout, send_timeout),
            (hygiene, forwarded, trace_id, server, bytes, pages),
            router,
        )| Http {
            router,
            hygiene,
            forwarded,
            trace_id,
            server_header: server,
            header_timeout,
            body_timeout,
            send_timeout,
            body_bytes_max: bytes.and_then(NonZeroU64::new),
            error_pages: pages
                .into_iter()
                .map(|(status, (body, content_type))| ErrorPage {
                    status,
                    content_type,
                    body: body.into_bytes().into(),
                })
                .collect(),
        },
    )
}

fn content_type() -> impl Strategy<Value = Arc<str>> {
    "[a-z]{1,9}/[a-z0-9.+-]{1,9}(; charset=utf-8)?".prop_map(Arc::from)
}

fn router(groups: Vec<usize>) -> impl Strategy<Value = Router> {
    let rules = btree_map(limits::RULE_PRIORITY, (vec(condition(), 0..4), action(groups.clone())), 0..5);
    (rules, action(groups)).prop_map(|(rules, default)| {
        let rule = |(priority, (conditions, action))| Rule {
            priority,
            conditions: one_of_each(conditions),
            action: action_of_rule(action, priority),
        };
        Router::new(rules.into_iter().map(rule).collect(), default).expect("rules that can be compiled")
    })
}

/// The cookie of group stickiness is called after its rule.
fn action_of_rule(mut action: Action, priority: u16) -> Action {
    if let Action::Forward(Forward { group_stickiness: Some(stickiness), .. }) = &mut action {
        *stickiness = Arc::new(of_rule(Some(priority), stickiness.duration));
    }
    action
}

/// In the order in which they are read: each kind is there once, but for headers.
fn one_of_each(mut conditions: Vec<Condition>) -> Vec<Condition> {
    let rank = |condition: &Condition| match condition {
        Condition::Host(_) => 0,
        Condition::Path(_) => 1,
        Condition::Method(_) => 2,
        Condition::Query(_) => 3,
        Condition::SourceIp(_) => 4,
        Condition::Header { .. } => 5,
    };
    conditions.sort_by_key(rank);
    conditions.dedup_by(|later, earlier| rank(later) == rank(earlier) && rank(later) < 5);
    conditions
}

fn text_of(regex: &'static str) -> impl Strategy<Value = Arc<str>> {
    regex.prop_map(Arc::from)
}

/// Expressions that can be compiled.
fn expression() -> impl Strategy<Value = Arc<str>> {
    text_of("\\^/[a-z]{1,5}(\\[0-9\\]\\+)?/(\\(\\.\\*\\))?")
}

fn condition() -> impl Strategy<Value = Condition> {
    let path = prop_oneof![
        text_of("[/*][!\"$-\\[\\]-~]{0,12}").prop_map(PathMatch::Pattern),
        text_of("/[!\"$-~]{0,12}").prop_map(PathMatch::Prefix),
        expression().prop_map(PathMatch::Regex),
    ];
    let query = (option::of(text_of("[a-z*?\" ]{0,9}")), text_of("[^\\pC\\\\]{0,9}"));
    let network = (any::<bool>().prop_flat_map(private), 0..=128_u8).prop_map(|(ip, length)| {
        let length = length.min(if ip.is_ipv4() { 32 } else { 128 });
        IpNet::new(ip, length).expect("a length that fits").trunc()
    });
    prop_oneof![
        vec(text_of("[a-zA-Z0-9*?][a-zA-Z0-9.*?-]{0,20}"), 1..4).prop_map(Condition::Host),
        vec(path, 1..4).prop_map(Condition::Path),
        vec(text_of("[A-Z]{1,9}"), 1..4).prop_map(Condition::Method),
        (text_of("X-[A-Za-z-]{1,9}"), vec(text_of("[ -\\[\\]-~]{1,9}"), 1..4))
            .prop_map(|(name, values)| Condition::Header { name, values }),
        vec(query.prop_map(|(key, value)| QueryMatch { key, value }), 1..4).prop_map(Condition::Query),
        vec(network, 1..4).prop_map(Condition::SourceIp),
    ]
}

/// A listener with no group can only answer.
fn action(groups: Vec<usize>) -> BoxedStrategy<Action> {
    let answers = prop_oneof![redirect().prop_map(Action::Redirect), fixed_response().prop_map(Action::FixedResponse)];
    if groups.is_empty() {
        return answers.boxed();
    }
    prop_oneof![answers, forward(groups).prop_map(Action::Forward)].boxed()
}

fn forward(groups: Vec<usize>) -> impl Strategy<Value = Forward> {
    let groups = btree_map(select(groups), limits::GROUP_WEIGHT, 1..3)
        .prop_filter("a group gets something", |groups| groups.values().any(|weight| *weight > 0));
    let replace = || option::of((expression(), text_of("[!\"%-~]{0,9}")));
    let rewrite = (replace(), replace()).prop_map(|(host, path)| {
        let replace = |(regex, with): (Arc<str>, Arc<str>)| Replace { regex, with };
        Rewrite { host: host.map(replace), path: path.map(replace) }
    });
    let rewrite = rewrite.prop_filter("it rewrites", |rewrite| rewrite.host.is_some() || rewrite.path.is_some());
    (groups, option::of(seconds(&limits::STICKINESS)), option::of(rewrite)).prop_map(
        |(groups, group_stickiness, rewrite)| Forward {
            groups: groups.into_iter().map(|(group, weight)| WeightedGroup { group, weight }).collect(),
            group_stickiness: group_stickiness.map(|duration| Arc::new(of_rule(None, duration))),
            rewrite,
        },
    )
}

fn redirect() -> impl Strategy<Value = Redirect> {
    let status = select(&limits::REDIRECT_STATUSES[..]);
    let protocol = select(vec!["http", "https", "#{protocol}"]).prop_map(Arc::from);
    let port = prop_oneof![Just("#{port}".into()), limits::PORT.prop_map(|port| port.to_string().into())];
    let (host, path, query) = (
        text_of("(m\\.)?#\\{host\\}|[a-z]{1,9}(\\.[a-z]{1,9})?"),
        text_of("/([a-z]{1,9}/)?(#\\{path\\})?"),
        text_of("([a-z]=[0-9]&)?(#\\{query\\})?"),
    );
    let parts = (protocol, host, port, path, query)
        .prop_map(|(protocol, host, port, path, query)| [protocol, host, port, path, query]);
    let parts = parts.prop_filter("it leads elsewhere", |[protocol, _, port, ..]: &[Arc<str>; 5]| {
        (&**protocol, &**port) != ("#{protocol}", "#{port}")
    });
    (status, parts).prop_map(|(status, [protocol, host, port, path, query])| Redirect {
        status,
        protocol,
        host,
        port,
        path,
        query,
    })
}

fn fixed_response() -> impl Strategy<Value = FixedResponse> {
    let status = prop_oneof![Just(200_u16), Just(204), 400..=599_u16];
    let content_type = select(&limits::FIXED_RESPONSE_CONTENT_TYPES[..]);
    (status, content_type, text_of("\\PC{0,100}")).prop_map(|(status, content_type, body)| FixedResponse {
        status,
        content_type: content_type.into(),
        body: if status == 204 { "".into() } else { body },
    })
}

fn seconds(range: &RangeInclusive<Duration>) -> impl Strategy<Value = Duration> {
    (range.start().as_secs()..=range.end().as_secs()).prop_map(Duration::from_secs)
}

pub(super) fn group() -> impl Strategy<Value = HttpGroup> {
    let keep_alive =
        (limits::KEEP_ALIVE_IDLE_MAX, millis(&limits::KEEP_ALIVE_IDLE_TIMEOUT), millis(&limits::KEEP_ALIVE_LIFETIME));
    let keep_alive =
        keep_alive.prop_map(|(idle_max, idle_timeout, lifetime)| KeepAlive { idle_max, idle_timeout, lifetime });
    let timeouts = (millis(&limits::DEREGISTRATION_DELAY), millis(&limits::RESPONSE_TIMEOUT));
    (version(), option::of(stickiness()), timeouts, any::<bool>(), keep_alive).prop_map(
        |(version, stickiness, (deregistration_delay, response_timeout), location_repair, keep_alive)| HttpGroup {
            version,
            stickiness,
            deregistration_delay,
            response_timeout,
            location_repair,
            keep_alive,
        },
    )
}

fn version() -> impl Strategy<Value = HttpVersion> {
    select(vec![HttpVersion::V1_0, HttpVersion::V1_1])
}

/// An empty cookie is the default, which the group's name decides.
fn stickiness() -> impl Strategy<Value = Stickiness> {
    let cookie = prop_oneof![Just("".into()), text_of("lb[A-Za-z0-9_-]{0,20}")];
    let same_site = option::of(select(vec![SameSite::Strict, SameSite::Lax, SameSite::None]));
    (cookie, option::of(text_of("app[A-Za-z0-9_-]{0,20}")), seconds(&limits::STICKINESS), any::<bool>(), same_site)
        .prop_map(|(cookie, app_cookie, duration, secure, same_site)| Stickiness {
            cookie,
            app_cookie,
            duration,
            secure: secure || same_site == Some(SameSite::None),
            same_site,
        })
}

pub(super) fn check() -> impl Strategy<Value = HttpCheck> {
    let range = (limits::CHECK_STATUS, limits::CHECK_STATUS).prop_map(|(a, b)| a.min(b)..=a.max(b));
    let (path, host) = (text_of("/[!\"$-~]{0,20}"), option::of(text_of("[a-z.-]{1,20}(:[0-9]{1,5})?")));
    (path, host, select(vec![CheckMethod::Head, CheckMethod::Get]), version(), vec(range, 1..4))
        .prop_map(|(path, host, method, version, matcher)| HttpCheck { path, host, method, version, matcher })
}

pub(super) fn access_log() -> impl Strategy<Value = AccessLog> {
    let file = ("/[a-zA-Z/. \"\\\\]{0,40}", option::of(limits::LOG_ROTATE_BYTES), limits::LOG_ROTATE_KEEP).prop_map(
        |(path, bytes, rotate_keep)| LogTo::File {
            path: path.into(),
            rotate_bytes: bytes.and_then(NonZeroU64::new),
            rotate_keep,
        },
    );
    let to = prop_oneof![Just(LogTo::Stdout), Just(LogTo::Syslog), file];
    (to, select(vec![LogFormat::Json, LogFormat::Alb])).prop_map(|(to, format)| AccessLog { to, format })
}
