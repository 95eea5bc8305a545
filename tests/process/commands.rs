//! The commands that ask a weir that runs: what they print and what they end with. Changes and explain are asked of an admin
//! endpoint that the test plays, so that what is sent can be looked at.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::config::{Config, QUICK_CHECK};
use crate::support::http_target::{self, Received};
use crate::support::target::Target;
use crate::support::weir::{BINARY, Weir};
use crate::support::{admin, handlers, http, is_installed, place, wait_until, write_secret};

#[test]
fn status_shows_listeners_groups_and_shards() {
    let target = http_target::start("a");
    let (config, web) = Config::http(&[target.address]);
    let weir = Weir::start(config);
    for _ in 0..3 {
        http::visit(web).expect("an answer");
    }
    wait_until("all three are counted", || {
        json_of(&ask(weir.config.admin, &["status", "--json"]))["listeners"][0]["http"]["requests"] == 3
    });
    let shown = done(&ask(weir.config.admin, &["status"]));
    assert!(shown.starts_with("test: serving, ready; weir "), "{shown}");
    assert_eq!(words(&shown, "web")[..4], ["web", "http", &web.to_string(), "open"], "{shown}");
    assert_eq!(words(&shown, "web")[6..8], ["3", "0"], "requests and 5xx: {shown}");
    assert_eq!(words(&shown, "app")[..4], ["app", "http", "weighted_round_robin", "1/1"], "{shown}");
    for shard in ["0", "1"] {
        assert_eq!(words(&shown, shard)[2..4], ["answering", "1"], "{shown}");
    }
    let json = json_of(&ask(weir.config.admin, &["status", "--json"]));
    assert_eq!(json["balancer"]["name"], "test", "{json}");
    assert_eq!(json["shards"].as_array().map(Vec::len), Some(2), "{json}");
    assert!(admin::element(&json["target_groups"], "name", "app").is_some(), "{json}");
}

#[test]
fn targets_list_says_how_each_is_and_what_to_look_at() {
    let target = Target::start(handlers::identify("a"));
    let dead = place::free();
    let (mut config, _) = Config::relay(&[target.address, dead]);
    config.app().check = QUICK_CHECK.into();
    let weir = Weir::start(config.group(crate::support::config::Group::new("spare").target(target.address, 0)));
    weir.wait_for_state("app", dead, "unhealthy");
    weir.wait_for_state("app", target.address, "healthy");

    let shown = done(&ask(weir.config.admin, &["targets", "list"]));
    let of = |group: &str, address: SocketAddr| {
        let line = shown.lines().find(|line| line.starts_with(group) && line.contains(&format!("  {address}  ")));
        line.unwrap_or_else(|| panic!("{group} {address}: {shown}")).split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(of("app", target.address)[2..5], ["cvm", "10", "healthy"]);
    assert_eq!(of("app", dead)[2..5], ["cvm", "10", "unhealthy"]);
    assert_eq!(of("app", dead).last(), Some(&"Target.FailedHealthChecks"));
    assert_eq!(of("spare", target.address)[2..5], ["cvm", "0", "unused"]);
    assert!(shown.contains(&format!("\napp {dead}: the last check failed, refused: nothing listens")), "{shown}");

    let one = done(&ask(weir.config.admin, &["targets", "list", "spare"]));
    assert!(one.contains("spare") && !one.contains("app"), "{one}");
    let json = json_of(&ask(weir.config.admin, &["targets", "list", "--json", "app", "spare"]));
    let names: Vec<_> = json["target_groups"].as_array().into_iter().flatten().map(|g| &g["target_group"]).collect();
    assert_eq!(names, ["app", "spare"], "{json}");
    assert_eq!(json["target_groups"][0]["targets"][1]["health"]["last_check"]["failure"], "refused", "{json}");
}

#[test]
fn revisions_lists_what_was_applied() {
    let (config, _) = Config::relay(&[]);
    let mut weir = Weir::start(config);
    weir.change(|config| config.web().keys = "idle_timeout = \"70s\"".into());
    let shown = done(&ask(weir.config.admin, &["revisions"]));
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 4, "{shown}");
    assert!(lines[0].starts_with("REVISION") && lines[1].contains("start") && lines[3].contains("reload"), "{shown}");
    assert!(lines[2].ends_with("target group \"app\": added (0 targets)"), "{shown}");
    assert!(lines[3].ends_with("listener \"web\": changed"), "{shown}");
    let json = json_of(&ask(weir.config.admin, &["revisions", "--json"]));
    assert_eq!(json["revisions"].as_array().map(Vec::len), Some(2), "{json}");
}

#[test]
fn what_goes_wrong_has_its_exit_code_and_says_what_to_do() {
    let (config, _) = Config::relay(&[]);
    let weir = Weir::start(config);
    let missing = ask(weir.config.admin, &["targets", "list", "nobody"]);
    assert_eq!(
        failed(&missing, 1),
        "there is no target group \"nobody\"; GET /v1/target-groups lists them (404 not_found)"
    );

    let gone = place::free();
    for arguments in
        [&["status"][..], &["targets", "weight", "app", "10.0.0.5:80=0"], &["explain", "web", "--client", "192.0.2.9"]]
    {
        let said = failed(&ask(gone, arguments), 3);
        assert!(said.contains(&gone.to_string()) && said.contains("is weir running"), "{said}");
    }
    for (arguments, word) in [
        (&["targets", "weight", "app", "10.0.0.5:80"][..], "TARGET=WEIGHT"),
        (&["targets", "register", "app", "10.0.0.5:80", "--weight", "101"], "0 to 100"),
        (&["status", "--admin", "http://127.0.0.1:9900"], "this is a URL"),
        (&["completions", "tcsh"], "bash"),
    ] {
        let said = failed(&weir_with(arguments), 2);
        assert!(said.contains(word), "{said}");
    }
    assert!(failed(&ask(gone, &["targets", "deregister", "app", "10.0.0.5"]), 1).contains("the port is missing"));
}

#[test]
fn a_unix_socket_behind_a_token_is_asked_like_any_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (socket, token, wrong) = (format!("unix:{}", path("weir.sock")), path("token"), path("wrong"));
    write_secret(&token, "0123456789abcdef0123456789abcdef\n");
    fs::write(&wrong, "another-one-0123456789\n").expect("write another");
    let (config, _) = Config::relay(&[]);
    let tcp = format!("listen = \"{}\"", config.admin);
    let text = config.to_toml().replace(&tcp, &format!("listen = \"{socket}\"\ntoken_file = \"{token}\""));
    fs::write(path("weir.toml"), text).expect("write the config");
    let mut command = Command::new(BINARY);
    command.args(["run", "--config", &path("weir.toml")]).stdout(Stdio::null()).stderr(Stdio::null());
    let _weir = Process(command.spawn().expect("weir starts"));

    let with_token = ["status", "--admin", &socket, "--token-file", &token];
    wait_until("weir is ready", || {
        let output = weir_with(&with_token);
        output.status.success() && text_of(&output.stdout).contains("serving, ready")
    });
    for arguments in [&["status", "--admin", &socket][..], &["revisions", "--admin", &socket, "--token-file", &wrong]] {
        let said = failed(&weir_with(arguments), 4);
        assert!(
            said.contains(&socket) && said.contains("[admin] token_file") && !said.contains("another-one"),
            "{said}"
        );
    }
    let by_environment =
        without_environment(&["status"]).env("WEIR_ADMIN", &socket).env("WEIR_TOKEN_FILE", &token).output();
    assert!(done(&by_environment.expect("it runs")).contains("serving, ready"));
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn each_change_is_one_request_and_tells_its_revision() {
    let (api, received) = played("200 OK", &json!({ "revision": 8 }));
    for (line, method, targets, said) in [
        (
            "targets register app 10.0.0.5:80=20 ins-1:8080",
            "POST",
            json!([{ "address": "10.0.0.5", "port": 80, "weight": 20 }, { "instance_id": "ins-1", "port": 8080 }]),
            "revision 8: registered 2 targets in app\n",
        ),
        (
            "targets deregister app 10.0.0.5:80",
            "DELETE",
            json!([{ "address": "10.0.0.5", "port": 80 }]),
            "revision 8: deregistered 1 target from app\n",
        ),
        (
            "targets weight app 10.0.0.5:80=0 [fd00::5]:80=100",
            "PATCH",
            json!([{ "address": "10.0.0.5", "port": 80, "weight": 0 }, { "address": "fd00::5", "port": 80, "weight": 100 }]),
            "revision 8: changed the weight of 2 targets in app\n",
        ),
        (
            "targets port app 10.0.0.5:80=8080",
            "PATCH",
            json!([{ "address": "10.0.0.5", "port": 80, "new_port": 8080 }]),
            "revision 8: changed the port of 1 target in app\n",
        ),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        assert_eq!(done(&ask(api.address, &arguments)), said, "{line}");
        let request = received.lock().expect("no panic under it").pop().expect("a request came");
        assert_eq!((request.method(), request.path()), (method, "/v1/target-groups/app/targets"), "{line}");
        assert_eq!(request.value("content-type"), "application/json", "{line}");
        assert_eq!(
            serde_json::from_slice::<Value>(&request.body).expect("JSON"),
            json!({ "targets": targets }),
            "{line}"
        );
    }
}

#[test]
fn r_g10_targets_named_by_their_machines_are_bound_weighed_moved_and_unbound_by_command() {
    let folder = tempfile::tempdir().expect("a directory");
    let (mut config, _) = Config::http(&[]);
    config.app().keys = "managed = \"api\"".into();
    config.keys = format!("state_dir = \"{}\"", folder.path().display());
    config.tables = "[[instance]]\nid = \"ins-1\"\naddress = \"10.0.0.5\"\n\
                     [[eni]]\nid = \"eni-1\"\ninstance_id = \"ins-1\"\naddresses = \"10.0.0.17\"\n"
        .into();
    let weir = Weir::start(config);
    let make = |line: &str| done(&ask(weir.config.admin, &line.split(' ').collect::<Vec<_>>()));
    let targets = || {
        let targets = weir.json("/v1/target-groups/app/targets");
        let shown = |target: &Value| format!("{}:{} {}", target["address"], target["port"], target["weight"]);
        targets["targets"].as_array().expect("a list").iter().map(shown).collect::<Vec<_>>().join(", ").replace('"', "")
    };
    make("targets register app ins-1:80=20");
    make("targets register app --type eni eni-1:80 eni-1/10.0.0.17:81");
    assert_eq!(targets(), "10.0.0.5:80 20, 10.0.0.17:80 10, 10.0.0.17:81 10");
    make("targets weight app ins-1:80=0");
    make("targets weight app --type eni eni-1:81=7");
    make("targets port app --type eni eni-1:81=82");
    assert_eq!(targets(), "10.0.0.5:80 0, 10.0.0.17:80 10, 10.0.0.17:82 7");
    let mixed = failed(&ask(weir.config.admin, &["targets", "deregister", "app", "eni-1:80"]), 1);
    assert!(mixed.contains("instance \"eni-1\", port 80 is not in target group"), "{mixed}");
    make("targets deregister app --type eni eni-1:80 eni-1:82");
    make("targets deregister app ins-1:80");
    assert_eq!(targets(), "");
}

#[test]
fn a_change_carries_its_conditions_and_with_json_the_answer_is_printed_as_it_is() {
    let (api, received) = played("200 OK", &json!({ "revision": 8, "more": [1] }));
    let line = "targets weight app 10.0.0.5:80=0 --if-revision 7 --idempotency-key k-1 --json";
    let output = ask(api.address, &line.split(' ').collect::<Vec<_>>());
    assert_eq!(json_of(&output), json!({ "revision": 8, "more": [1] }));
    let request = received.lock().expect("no panic under it").pop().expect("a request came");
    assert_eq!((request.value("if-match"), request.value("idempotency-key")), ("\"7\"", "k-1"));
}

#[test]
fn a_refused_change_is_told_in_the_apis_words() {
    let error = json!({ "error": { "code": "conflict", "message": "10.0.0.5:80 is bound already", "hint": "change its weight" } });
    let (api, _) = played("409 Conflict", &error);
    for json in [&[][..], &["--json"]] {
        let output = ask(api.address, &[&["targets", "register", "app", "10.0.0.5:80"], json].concat());
        assert_eq!(failed(&output, 1), "10.0.0.5:80 is bound already; change its weight (409 conflict)");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn an_answer_that_is_not_understood_is_said_to_be_none_and_json_prints_it() {
    for answer in [json!([]), json!(null), json!({}), json!({ "target_groups": [{ "name": 5 }] })] {
        let (api, _) = played("200 OK", &answer);
        for arguments in [&["status"][..], &["targets", "list"], &["targets", "list", "app"], &["revisions"]] {
            let said = failed(&ask(api.address, arguments), 1);
            assert!(said.contains("is the weir that runs of another version"), "{arguments:?}: {said}");
        }
        assert_eq!(json_of(&ask(api.address, &["revisions", "--json"])), answer);
    }
}

#[test]
fn a_change_without_an_answer_is_in_doubt_and_not_made_twice() {
    let (handler, received) = recording(Vec::new());
    let api = Target::start(handler);
    let said = failed(&ask(api.address, &["targets", "weight", "app", "10.0.0.5:80=0"]), 3);
    assert!(said.contains("whether the change was made is not known"), "{said}");
    assert_eq!(received.lock().expect("no panic under it").len(), 1);
}

#[test]
fn explain_asks_for_what_was_given_and_shows_the_whole_answer() {
    let answer = json!({
        "listener": "web", "rule": { "priority": 2, "target_group": "img" },
        "outcome": { "kind": "target", "status": null, "text": "rule 2 forwards to img; next: 10.0.0.6:80\u{1b}[2J" },
        "targets": [
            { "address": "10.0.0.5", "port": 80, "why_not": "weight 0" }, { "address": "10.0.0.6", "port": 80, "chosen": true }
        ],
    });
    let (api, received) = played("200 OK", &answer);
    let line =
        "explain web --client 203.0.113.7 --method GET --host img.example.com --path /a?b=c --header X-Version:2";
    let arguments: Vec<&str> = line.split(' ').collect();
    let shown = done(&ask(api.address, &arguments));
    let expected = "\
rule 2 forwards to img; next: 10.0.0.6:80\\u{1b}[2J

listener: web
outcome:
  kind: target
  status: -
rule:
  priority: 2
  target_group: img
targets:
  ADDRESS   PORT  WHY_NOT   CHOSEN
  10.0.0.5    80  weight 0
  10.0.0.6    80            yes
";
    assert_eq!(shown, expected);
    let request = received.lock().expect("no panic under it").pop().expect("a request came");
    let path = "/v1/explain?listener=web&client=203.0.113.7&method=GET&host=img.example.com&path=%2Fa&query=b%3Dc\
                &header=X-Version%3A2";
    assert_eq!((request.method(), request.path()), ("GET", path));
    assert_eq!(json_of(&ask(api.address, &[&arguments[..], &["--json"]].concat())), answer);
}

#[test]
fn bash_completes_commands_options_and_values() {
    let script = done(&weir_with(&["completions", "bash"]));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("weir.bash");
    fs::write(&path, script).expect("write the script");
    let completed = |typed: &str| {
        // The last word is the one that is being typed.
        let words: Vec<&str> = typed.split(' ').collect();
        let (current, last) = (words[words.len() - 1], words.len() - 1);
        let program = format!(
            "source '{}'; COMP_WORDS=({} '{current}'); COMP_CWORD={last}; _weir weir '{current}' '{}'; echo \"${{COMPREPLY[@]}}\"",
            path.display(),
            words[..last].join(" "),
            words[last - 1]
        );
        let output = Command::new("bash").args(["--norc", "-c", &program]).output().expect("bash is there");
        assert!(output.status.success(), "{}", text_of(&output.stderr));
        text_of(&output.stdout).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(completed("weir targets reg"), ["register"]);
    assert_eq!(completed("weir comp"), ["completions"]);
    assert_eq!(completed("weir completions z"), ["zsh"]);
    let options = completed("weir targets list --");
    for option in ["--admin", "--token-file", "--ca-file", "--json"] {
        assert!(options.iter().any(|other| other == option), "{options:?}");
    }
}

#[test]
fn zsh_and_fish_accept_their_scripts() {
    let dir = tempfile::tempdir().expect("a directory");
    for shell in ["zsh", "fish"] {
        let script = done(&weir_with(&["completions", shell]));
        assert!(script.contains("deregister") && script.contains("token-file"), "{shell}");
        let path = dir.path().join(shell);
        fs::write(&path, script).expect("write the script");
        if is_installed(shell) {
            let output = Command::new(shell).arg("-n").arg(&path).output().expect("it is installed");
            assert!(output.status.success(), "{shell}: {}", text_of(&output.stderr));
        }
    }
}

/// As with `weir completions bash | head -1`.
#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let output = without_environment(&["completions", "bash"]).stdout(writer).stderr(Stdio::piped()).output();
    let output = output.expect("it runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text_of(&output.stderr));
}

/// An admin endpoint that gives this answer to everything, and what it is asked.
fn played(status: &str, answer: &Value) -> (Target, Received) {
    let lines = "Content-Type: application/json\r\n";
    let (handler, received) = recording(http_target::response(status, lines, answer.to_string()));
    (Target::start(handler), received)
}

/// Keeps what comes and answers with these bytes, then closes.
fn recording(answer: Vec<u8>) -> (crate::support::target::Handler, Received) {
    let received = Received::default();
    let kept = std::sync::Arc::clone(&received);
    let handler: crate::support::target::Handler = std::sync::Arc::new(move |stream| {
        let mut reader = http::Reader::new(stream);
        if let Ok(Some(request)) = reader.message(http::Kind::Request) {
            kept.lock().expect("no panic under it").push(request);
            // The command may have gone.
            let _ = io::Write::write_all(&mut reader.stream, &answer);
        }
    });
    (handler, received)
}

/// A command that asks the endpoint there.
fn ask(admin: SocketAddr, arguments: &[&str]) -> Output {
    weir_with(&[arguments, &["--admin", &admin.to_string()]].concat())
}

fn weir_with(arguments: &[&str]) -> Output {
    without_environment(arguments).output().expect("weir starts")
}

fn without_environment(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).env_remove("WEIR_ADMIN").env_remove("WEIR_TOKEN_FILE").env_remove("WEIR_CA_FILE");
    command
}

/// What a command printed that did what it should.
fn done(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", text_of(&output.stderr));
    text_of(&output.stdout)
}

fn json_of(output: &Output) -> Value {
    serde_json::from_str(&done(output)).expect("JSON")
}

/// What a command said that ended with this code.
fn failed(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}{}", text_of(&output.stdout), text_of(&output.stderr));
    text_of(&output.stderr).trim_end().to_owned()
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The words of the line whose first this is.
fn words<'t>(text: &'t str, first: &str) -> Vec<&'t str> {
    let line = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    line.into_iter().find(|words| words.first() == Some(&first)).unwrap_or_else(|| panic!("{first}: {text}"))
}
