//! Stickiness: clients stay with their target by a cookie, on every shard and every node, until it is over.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use crate::support::config::{Config, QUICK_CHECK};
use crate::support::http::{self, Message};
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{http_target, proc};

const COOKIE: &str = "stickiness = { type = \"cookie\" }";
const NAMES: [&str; 3] = ["a", "b", "c"];

/// What one response did to a client.
struct Answer {
    /// The target that gave it.
    name: String,
    /// The balancer's cookie, with its attributes; empty without one.
    set_cookie: String,
}

impl Answer {
    fn new(message: &Message) -> Self {
        assert_eq!(message.status(), 200, "{message:?}");
        let set_cookie = message.values("set-cookie").find(|line| line.starts_with("WEIR-")).unwrap_or_default();
        Answer { name: message.text(), set_cookie: set_cookie.into() }
    }

    /// As the client sends it back.
    fn cookie(&self) -> String {
        self.set_cookie.split(';').next().unwrap_or_default().into()
    }
}

/// Asks on a connection of its own, which either shard may get.
fn ask(web: SocketAddr, path: &str, cookie: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nCookie: theme=dark; {cookie}\r\n\r\n");
    Answer::new(&http::ask(web, request).expect("an answer"))
}

fn targets() -> [Target; 3] {
    NAMES.map(http_target::start)
}

fn sticky(targets: &[Target], keys: &str) -> (Config, SocketAddr) {
    let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
    let (mut config, web) = Config::http(&addresses);
    config.app().keys = keys.into();
    (config, web)
}

/// Which targets a client with this cookie reaches.
fn reached(web: SocketAddr, cookie: &str) -> BTreeSet<String> {
    (0..30).map(|_| ask(web, "/", cookie).name).collect()
}

#[test]
fn r_s1_a_client_with_the_cookie_stays_with_its_target_on_both_shards() {
    let targets = targets();
    let (config, web) = sticky(&targets, COOKIE);
    let weir = Weir::start(config);
    let cores = proc::cores();
    for _ in 0..4 {
        let first = ask(web, "/", "");
        assert!(first.set_cookie.contains("; Path=/; Max-Age=86400; HttpOnly"), "{}", first.set_cookie);
        for round in 0..20 {
            // A connection goes to the shard of the core that it came by.
            let next = proc::on_core(cores[round % cores.len()], || ask(web, "/", &first.cookie()));
            assert_eq!(next.name, first.name);
            assert!(!next.set_cookie.is_empty(), "each response refreshes it");
        }
    }
    assert_eq!(reached(web, "").len(), 3, "others are spread");
    for shard in ["0", "1"] {
        let served = weir.metric("weir_shard_connections_accepted_total", &[("shard", shard)]);
        assert!(served > 0, "shard {shard} had its part");
    }
}

#[test]
fn r_s1_a_cookie_that_nobody_made_is_ignored_and_replaced() {
    let targets = targets();
    let (config, web) = sticky(&targets, COOKIE);
    let _weir = Weir::start(config);
    let good = ask(web, "/", "").cookie();
    let flipped = if good.ends_with('A') { "B" } else { "A" };
    let forged = format!("{}{flipped}", &good[..good.len() - 1]);
    for cookie in [forged.as_str(), "WEIR-app=", "WEIR-app=x", "WEIR-app=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(reached(web, cookie).len(), 3, "{cookie}");
        let answer = ask(web, "/", cookie);
        assert_eq!(reached(web, &answer.cookie()), [answer.name].into(), "{cookie}: the new one counts");
    }
}

#[test]
fn r_s1_a_cookie_is_good_on_every_node_with_the_same_secret_and_on_no_other() {
    let secret = tempfile::NamedTempFile::new().expect("a file");
    secret.as_file().set_permissions(std::fs::Permissions::from_mode(0o600)).expect("chmod");
    writeln!(secret.as_file(), "{}", "0123456789abcdef".repeat(4)).expect("write it");
    let targets = targets();
    let (config, web) = sticky(&targets, COOKIE);
    let (mut second, second_web) = sticky(&targets, COOKIE);
    let (third, third_web) = sticky(&targets, COOKIE);
    let key = format!("secret_file = \"{}\"", secret.path().display());
    let mut first = config.clone();
    first.keys = key.clone();
    second.keys = key;
    let _nodes = [first, second, third].map(Weir::start);
    let answer = ask(web, "/", "");
    assert_eq!(reached(second_web, &answer.cookie()), [answer.name.clone()].into());
    assert_eq!(reached(third_web, &answer.cookie()).len(), 3, "this one has a secret of its own");
}

#[test]
fn r_s1_a_session_is_refreshed_by_each_response_and_then_over_after_its_duration() {
    let targets = targets();
    let (config, web) = sticky(&targets, "stickiness = { type = \"cookie\", duration = \"2s\" }");
    let _weir = Weir::start(config);
    let first = ask(web, "/", "");
    let mut cookie = first.cookie();
    for _ in 0..5 {
        thread::sleep(Duration::from_secs(1));
        let next = ask(web, "/", &cookie);
        assert_eq!(next.name, first.name, "longer than its duration, as it is refreshed");
        cookie = next.cookie();
    }
    thread::sleep(Duration::from_millis(3100));
    assert_eq!(reached(web, &cookie).len(), 3, "after it the client may move");
}

#[test]
fn r_s1_the_cookie_is_named_and_marked_as_the_group_says() {
    let targets = targets();
    let keys = "cookie = \"WEIR-x\", duration = \"10s\", secure = true, same_site = \"none\"";
    let (config, web) = sticky(&targets, &format!("stickiness = {{ type = \"cookie\", {keys} }}"));
    let _weir = Weir::start(config);
    let answer = ask(web, "/", "");
    assert!(answer.set_cookie.starts_with("WEIR-x="), "{}", answer.set_cookie);
    assert!(
        answer.set_cookie.ends_with("; Path=/; Max-Age=10; HttpOnly; Secure; SameSite=None"),
        "{}",
        answer.set_cookie
    );
    assert_eq!(reached(web, &answer.cookie()), [answer.name.clone()].into());
}

#[test]
fn r_s2_stickiness_follows_the_targets_own_cookie() {
    let login = |name: &'static str| {
        Target::start(http_target::serve(move |request| match request.path() {
            "/login" => http_target::response("200 OK", "Set-Cookie: JSESSIONID=1; Path=/\r\n", name),
            _ => http_target::ok(name),
        }))
    };
    let targets = NAMES.map(login);
    let keys = "stickiness = { type = \"app_cookie\", app_cookie = \"JSESSIONID\" }";
    let (config, web) = sticky(&targets, keys);
    let _weir = Weir::start(config);
    assert!(ask(web, "/", "").set_cookie.is_empty(), "no session, no cookie");
    let login = ask(web, "/login", "");
    let both = format!("JSESSIONID=1; {}", login.cookie());
    for _ in 0..20 {
        let next = ask(web, "/", &both);
        assert_eq!(next.name, login.name);
        assert!(!next.set_cookie.is_empty(), "refreshed while the client has its own");
    }
    assert_eq!(reached(web, &login.cookie()).len(), 3, "without the target's cookie there is no session");
}

/// The cookie's target is gone in each of the ways that there are; what the client gets is another one and its cookie.
#[test]
fn r_s4_r_w3_the_session_of_an_unbound_target_moves_on_with_a_new_cookie() {
    let targets = targets();
    let (config, web) = sticky(&targets, COOKIE);
    let mut weir = Weir::start(config);
    let first = ask(web, "/", "");
    weir.change(|config| config.app().remove(named(&targets, &first.name)));
    let next = ask(web, "/", &first.cookie());
    assert_ne!(next.name, first.name);
    assert_eq!(reached(web, &next.cookie()), [next.name].into());
}

#[test]
fn r_s4_the_session_of_an_unhealthy_target_moves_on_with_a_new_cookie() {
    let mut targets = targets();
    // A target that has stopped listening still serves the connections that it has.
    let (mut config, web) = sticky(&targets, &format!("{COOKIE}\nkeep_alive = {{ idle_max = 0 }}"));
    config.app().check = QUICK_CHECK.into();
    let weir = Weir::start(config);
    targets.iter().for_each(|target| weir.wait_for_state("app", target.address, "healthy"));
    let first = ask(web, "/", "");
    let index = NAMES.iter().position(|name| *name == first.name).expect("one of them");
    targets[index].stop();
    // From the first refused connect on, before any check has failed.
    let next = ask(web, "/", &first.cookie());
    assert_ne!(next.name, first.name);
    weir.wait_for_state("app", targets[index].address, "unhealthy");
    let later = ask(web, "/", &first.cookie());
    assert_ne!(later.name, first.name);
    for answer in [next, later] {
        assert_eq!(reached(web, &answer.cookie()), [answer.name.clone()].into());
    }
    // A cookie names its target for as long as it lasts.
    targets[index].listen();
    weir.wait_for_state("app", targets[index].address, "healthy");
    assert_eq!(reached(web, &first.cookie()), [first.name].into());
}

#[test]
fn r_w2_at_weight_0_sessions_go_on_and_nothing_else_arrives() {
    let targets = targets();
    let (config, web) = sticky(&targets, COOKIE);
    let mut weir = Weir::start(config);
    let first = ask(web, "/", "");
    let address = named(&targets, &first.name);
    weir.change(|config| config.app().set_weight(address, 0));
    assert_eq!(reached(web, &first.cookie()), [first.name.clone()].into());
    assert!(!reached(web, "").contains(&first.name));
    // Also on a connection that the client keeps.
    let mut client = http::Client::connect(web).expect("it listens");
    let request = format!("GET / HTTP/1.1\r\nHost: a.example\r\nCookie: {}\r\n\r\n", first.cookie());
    (0..5).for_each(|_| assert_eq!(client.ask(&request).expect("an answer").text(), first.name));
}

fn named(targets: &[Target], name: &str) -> SocketAddr {
    let index = NAMES.iter().position(|own| *own == name).expect("one of them");
    targets[index].address
}
