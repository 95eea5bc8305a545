//! What bad http listeners, rules and groups print: exact lines, so that a change of wording or place is seen.

use super::*;

/// 13 lines of good config: an http listener, and an http and a tcp group. A test's own lines come first or last.
const GROUPS: &str = r#"
[[target_group]]
name = "app"
protocol = "http"
target = [{ address = "10.0.0.5", port = 8080 }]
[[target_group]]
name = "db"
protocol = "tcp"
target = [{ address = "10.0.0.6", port = 3306 }]
"#;

fn expect(text: &str, lines: &[String]) {
    assert_eq!(printed(text, Mode::Run), lines, "for\n{text}");
}

/// Lines of an http listener from line 5 on.
fn listener_says(lines: &str, says: &[&str]) {
    let head = "[[listener]]\nname = \"x\"\nprotocol = \"http\"\naddress = \"0.0.0.0:80\"\n";
    let says: Vec<_> = says.iter().map(|s| format!("lb.toml:{}", s.replace("LISTENER", "listener \"x\""))).collect();
    expect(&format!("{head}{lines}\n{GROUPS}"), &says);
}

/// A key of an http listener on line 5.
fn key_says(line: &str, says: &str) {
    listener_says(&format!("{line}\ndefault_action = {{ forward = \"app\" }}"), &[&format!("5: LISTENER: {says}")]);
}

/// Lines of a rule from line 9 on; its action is on line 8.
fn rule_says(lines: &str, says: &str) {
    let rule =
        "default_action = { forward = \"app\" }\n[[listener.rule]]\npriority = 1\naction = { forward = \"app\" }\n";
    listener_says(&format!("{rule}{lines}"), &[&format!("9: LISTENER: rule #1: {says}")]);
}

/// An action, on line 5.
fn action_says(action: &str, says: &[&str]) {
    let says: Vec<_> = says.iter().map(|says| format!("5: LISTENER: default_action{says}")).collect();
    let says: Vec<_> = says.iter().map(String::as_str).collect();
    listener_says(&format!("default_action = {action}"), &says);
}

/// A line of an http group, on line 4.
fn group_says(line: &str, says: &[&str]) {
    let text = format!("[[target_group]]\nname = \"x\"\nprotocol = \"http\"\n{line}\n");
    let says: Vec<_> = says.iter().map(|says| format!("lb.toml:4: target group \"x\": {says}")).collect();
    expect(&text, &says);
}

#[test]
fn values_of_an_http_listener() {
    let field_mend = "use 1 to 256 visible ASCII characters";
    for (typed, says) in [
        ("header_timeout = \"121s\"", "header_timeout: \"121s\" is out of range; choose 1s to 120s"),
        ("body_timeout = \"500ms\"", "body_timeout: \"500ms\" is out of range; choose 1s to 120s"),
        ("send_timeout = \"2h\"", "send_timeout: \"2h\" is out of range; choose 1s to 3600s"),
        ("hygiene = \"strict\"", "hygiene: \"strict\" is not known; did you mean \"strictest\"?"),
        (
            "x_forwarded_for = \"add\"",
            "x_forwarded_for: \"add\" is not known; choose \"append\" or \"preserve\" or \"remove\"",
        ),
        (
            "trace_id = \"yes\"",
            "trace_id: expected true or false, found the string \"yes\"; write true or false, without quotes",
        ),
        ("request_body_max = 0", "request_body_max: 0 is out of range; choose 1 to 1TiB"),
        ("request_body_max = -5", "request_body_max: -5 is out of range; choose 1 to 1TiB"),
        ("request_body_max = \"20000000TiB\"", "request_body_max: 20000000TiB is out of range; choose 1 to 1TiB"),
        (
            "request_body_max = \"10MB\"",
            "request_body_max: \"10MB\" is not a size; write a number of bytes, or one with a unit in quotes: \"64KiB\", \
             \"10MiB\" or \"1GiB\"",
        ),
        (
            "request_body_max = \"MiB\"",
            "request_body_max: \"MiB\" is not a size; write a number of bytes, or one with a unit in quotes: \"64KiB\", \
             \"10MiB\" or \"1GiB\"",
        ),
        (
            "request_body_max = true",
            "request_body_max: expected a size, found true; write a number of bytes, or one with a unit in quotes: \"64KiB\", \
             \"10MiB\" or \"1GiB\"",
        ),
    ] {
        key_says(typed, says);
    }
    for bad in ["", " x", "x ", "a\\r\\nSet-Cookie: b", "\u{e9}"] {
        key_says(
            &format!("server_header = \"{bad}\""),
            &format!("server_header: \"{bad}\" cannot be the value of a header; {field_mend}"),
        );
    }
}

#[test]
fn r_p6_error_pages_are_for_the_balancers_own_statuses_and_bounded() {
    let page = |keys: &str| format!("error_page = [{{ {keys} }}]");
    let statuses = "choose 400, 403, 405, 408, 413, 414, 431, 463, 464, 500, 501, 502, 503, 504 or 505";
    for (typed, says) in [
        ("status = 404, file = \"x\"", format!("status: 404 is not among them; {statuses}")),
        ("status = 460, file = \"x\"", format!("status: 460 is not among them; {statuses}")),
        ("status = -1, file = \"x\"", format!("status: -1 is not among them; {statuses}")),
        ("file = \"x\"", "status: missing; add status = 503".into()),
        ("status = 503", "file: missing; add file = \"503.html\"".into()),
        (
            "status = 503, file = \"missing\"",
            "file: missing cannot be read: No such file or directory (os error 2); check the path".into(),
        ),
        (
            "status = 503, file = \"large\"",
            "file: large is larger than 64 KiB; shorten it, or name another file".into(),
        ),
        (
            "status = 503, file = \"x\", content_type = \"html\"",
            "content_type: \"html\" is not a content type; write it like \"text/html; charset=utf-8\"".into(),
        ),
    ] {
        key_says(&page(typed), &format!("error page #1: {says}"));
    }
    key_says(
        "error_page = [{ status = 503, file = \"a\" }, { status = 503, file = \"b\" }]",
        "error page #2: status: there is a page for 503 already (line 5); keep one of the two",
    );
}

#[test]
fn a_tcp_listener_has_no_keys_of_http() {
    let text = format!(
        "[[listener]]\nname = \"x\"\nprotocol = \"tcp\"\naddress = \"0.0.0.0:80\"\nhygiene = \"monitor\"\ntrace_id = true\n\
         default_action = {{ forward = \"db\" }}\n[[listener.rule]]\npriority = 1\naction = {{ forward = \"db\" }}\n{GROUPS}"
    );
    let says = "only an http listener has it, and this one is tcp; remove it, or set protocol = \"http\"";
    expect(
        &text,
        &[("hygiene", 5), ("trace_id", 6), ("rule", 8)]
            .map(|(key, line)| format!("lb.toml:{line}: listener \"x\": {key}: {says}")),
    );
}

#[test]
fn r_l2_a_tcp_listener_forwards_to_one_group() {
    let says = |key: &str| {
        format!(
            "lb.toml:5: listener \"x\": default_action.{key}: a tcp listener has no requests: it forwards connections, to one \
             group; write default_action = {{ forward = \"name of a target group\" }}, or set protocol = \"http\""
        )
    };
    for (action, keys) in [
        ("{ forward = [{ group = \"db\" }] }", &["forward"][..]),
        ("{ redirect = { status = 301, protocol = \"https\" } }", &["redirect"]),
        ("{ fixed_response = { status = 200 } }", &["fixed_response"]),
        (
            "{ forward = \"db\", group_stickiness = \"1h\", rewrite = { host = { regex = \"a\", with = \"b\" } } }",
            &["group_stickiness", "rewrite"],
        ),
    ] {
        let text = format!(
            "[[listener]]\nname = \"x\"\nprotocol = \"tcp\"\naddress = \"0.0.0.0:80\"\ndefault_action = {action}\n{GROUPS}"
        );
        expect(&text, &keys.iter().map(|key| says(key)).collect::<Vec<_>>());
    }
}

#[test]
fn r_g1_a_listener_forwards_to_groups_of_its_protocol() {
    action_says(
        "{ forward = [{ group = \"app\" }, { group = \"db\" }] }",
        &[".forward #2: group: the listener's protocol is http, that of target group \"db\" is tcp (line 13); \
           forward to a group with protocol = \"http\", or change one of the two"],
    );
    let text = format!(
        "[[listener]]\nname = \"x\"\nprotocol = \"tcp\"\naddress = \"0.0.0.0:80\"\ndefault_action = {{ forward = \"app\" }}\n{GROUPS}"
    );
    expect(
        &text,
        &["lb.toml:5: listener \"x\": default_action.forward: the listener's protocol is tcp, that of target group \"app\" is \
           http (line 9); forward to a group with protocol = \"tcp\", or change one of the two"
            .to_owned()],
    );
}

#[test]
fn r_r1_two_rules_with_one_priority_are_refused() {
    let rule = "[[listener.rule]]\npriority = 7\naction = { forward = \"app\" }\n";
    listener_says(
        &format!("default_action = {{ forward = \"app\" }}\n{rule}{rule}"),
        &["10: LISTENER: rule #2: priority: 7 is taken by another rule (line 7); give each rule of a listener its own"],
    );
    listener_says(
        "default_action = { forward = \"app\" }\n[[listener.rule]]\n",
        &[
            "6: LISTENER: rule #1: action: missing; add action = { forward = \"name of a target group\" }",
            "6: LISTENER: rule #1: priority: missing; add priority = 10; the rule with the lowest goes first",
        ],
    );
    listener_says(
        "default_action = { forward = \"app\" }\nrule = [{ priority = 0, action = { forward = \"app\" } }]",
        &["6: LISTENER: rule #1: priority: 0 is out of range; choose 1 to 50000"],
    );
}

#[test]
fn r_r2_values_of_conditions() {
    let host_mend = "write a host such as \"www.example.com\" or \"*.example.com\"";
    let path_mend = "write a path such as \"/img/*\", { prefix = \"/api/\" } or { regex = \"^/v[0-9]+/\" }";
    let one_path =
        "a path is matched by one of prefix and regex; write { prefix = \"/api/\" } or { regex = \"^/v[0-9]+/\" }";
    for (typed, says) in [
        ("host = []", "host: the list is empty; name at least one value, or remove the key".to_owned()),
        ("host = 5", format!("host: expected a host, found the number 5; {host_mend}")),
        ("host = \"a b\"", format!("host: \"a b\" is not a host; {host_mend}")),
        ("host = \"\"", format!("host: \"\" is not a host; {host_mend}")),
        (
            "host = \"a.example.com:80\"",
            "host: \"a.example.com:80\" has a port, and the host is compared without it; write \"a.example.com\"".into(),
        ),
        ("path = \"img/*\"", format!("path: \"img/*\" is not a path; {path_mend}")),
        ("path = \"/a b\"", format!("path: \"/a b\" is not a path; {path_mend}")),
        ("path = {}", format!("path: {one_path}")),
        ("path = { prefix = \"/a\", regex = \"b\" }", format!("path: {one_path}")),
        ("path = { prefix = \"a\" }", "path.prefix: \"a\" is not the beginning of a path; write it like \"/api/\"".into()),
        ("path = { regex = \"\" }", "path.regex: it is empty; write 1 to 1024 bytes".into()),
        ("path = { perfix = \"/a\" }", "path.perfix: unknown key; did you mean \"prefix\"?".into()),
        ("method = \"get\"", "method: \"get\" is not a method; write it in capitals, such as \"GET\"".into()),
        ("header = [{ name = \"X\" }]", "header \"X\": values: missing; add values = [\"*Chrome*\"]".into()),
        ("header = [{ values = \"a\" }]", "header #1: name: missing; add name = \"User-Agent\"".into()),
        (
            "header = [{ name = \"host\", values = \"a\" }]",
            "header \"host\": name: Host is compared by its own condition; write host = [\"...\"] in the rule".into(),
        ),
        (
            "header = [{ name = \"X\", values = [\"a\", \"\"] }]",
            "header \"X\": values: it is empty; write 1 to 128 bytes".into(),
        ),
        (
            "header = [{ name = \"a b\", values = \"a\" }]",
            "header \"a b\": name: \"a b\" is not the name of a header; use 1 to 40 letters, digits and hyphens".into(),
        ),
        ("query = [{ key = \"a\" }]", "query #1: value: missing; add value = \"*\" for any".into()),
        (
            "query = \"a=b\"",
            "query: expected a list of tables, found the string \"a=b\"; head each one with [[listener.rule.query]]".into(),
        ),
        ("source_ip = \"10.0.0.1\"", "source_ip: 10.0.0.1 has no prefix length; write \"10.0.0.1/32\" for this one address".into()),
        (
            "source_ip = \"10.0.0.5/8\"",
            "source_ip: 10.0.0.5/8 has bits beyond its prefix length; write \"10.0.0.0/8\", or \"10.0.0.5/32\"".into(),
        ),
        (
            "source_ip = \"::ffff:10.0.0.0/104\"",
            "source_ip: ::ffff:10.0.0.0/104 is IPv4 in IPv6 form, and clients are compared as IPv4; write \"10.0.0.0/8\"".into(),
        ),
        (
            "source_ip = \"example.com\"",
            "source_ip: \"example.com\" is not a network; write an address and a prefix length, such as \"10.0.0.0/8\"".into(),
        ),
    ] {
        rule_says(typed, &says);
    }
}

#[test]
fn r_r3_an_action_does_one_thing() {
    let of_forward = "it goes with a forward, and this is a redirect; remove it";
    for (typed, says) in [
        (
            "{}",
            &[
                ": it does not say what to do; add forward = \"name of a target group\", redirect = { ... } or fixed_response = \
               { ... }",
            ][..],
        ),
        (
            "{ forward = \"app\", fixed_response = { status = 200 } }",
            &[": it has forward and fixed_response; keep one of them"],
        ),
        (
            "{ redirect = { status = 301, protocol = \"https\" }, group_stickiness = \"1h\", rewrite = {} }",
            &[&format!(".group_stickiness: {of_forward}"), &format!(".rewrite: {of_forward}")],
        ),
        (
            "{ forward = 5 }",
            &[
                ".forward: expected a target group, found the number 5; write forward = \"app\", or a list such as [{ group = \
               \"app\", weight = 9 }]",
            ],
        ),
        ("{ foward = \"app\" }", &[".foward: unknown key; did you mean \"forward\"?"]),
    ] {
        action_says(typed, says);
    }
}

#[test]
fn r_r3_values_of_a_forward() {
    for (typed, says) in [
        ("forward = []", ".forward: the list is empty; name at least one value, or remove the key".to_owned()),
        ("forward = [{ group = \"app\", weight = 0 }]", ".forward: all groups have weight 0, so no request can be forwarded; give one of them a weight of 1 or more".into()),
        ("forward = [{ group = \"app\", weight = 1000 }]", ".forward #1: weight: 1000 is out of range; choose 0 to 999".into()),
        ("forward = [{ weight = 1 }]", ".forward #1: group: missing; add group = \"name of a target group\"".into()),
        (
            "forward = [\"app\"]",
            ".forward: expected a table, found the string \"app\"; write it as { key = value }".into(),
        ),
        (
            "forward = [{ group = \"app\" }, { group = \"app\" }]",
            ".forward #2: group: \"app\" is in this forward already (line 5); name it once, with one weight".into(),
        ),
        (
            "forward = [{ group = \"ap\" }]",
            ".forward #1: group: there is no target group \"ap\"; did you mean \"app\"?".into(),
        ),
        (
            "forward = \"app\", group_stickiness = \"8d\"",
            ".group_stickiness: \"8d\" is out of range; choose 1s to 604800s".into(),
        ),
        (
            "forward = \"app\", group_stickiness = \"1s 1ms\"",
            ".group_stickiness: 1.001s is not a whole number of seconds; leave out the parts of a second".into(),
        ),
        (
            "forward = \"app\", rewrite = {}",
            ".rewrite: it does not say what to rewrite; add host = { regex = ..., with = ... } or path = { regex = ..., with = \
             ... }"
            .into(),
        ),
        (
            "forward = \"app\", rewrite = { path = { regex = \"a\", with = \"/a b\" } }",
            ".rewrite.path.with: \"/a b\" does not fit a request; use at most 1024 visible ASCII characters without blanks; \
             write others as %20 and so on"
            .into(),
        ),
        (
            "forward = \"app\", rewrite = { host = { regex = \"a\" } }",
            ".rewrite.host.with: missing; add with = \"$1\"".into(),
        ),
    ] {
        action_says(&format!("{{ {typed} }}"), &[&says]);
    }
}

#[test]
fn r_r3_values_of_a_redirect() {
    let placeholders = "the placeholders are #{protocol}, #{host}, #{port}, #{path}, #{query}";
    let host_mend = "write a host such as \"www.example.com\" or \"m.#{host}\"; the port has its own key";
    for (typed, says) in [
        ("protocol = \"https\"", ".status: missing; add status = 301".to_owned()),
        ("status = 300, host = \"a\"", ".status: 300 is not among them; choose 301, 302, 303, 307 or 308".into()),
        ("status = 301, protocol = \"HTTPS\"", ".protocol: \"HTTPS\" is not known; choose \"http\" or \"https\" or \"#{protocol}\"".into()),
        (
            "status = 301, port = \"443\"",
            ".port: expected a port, found the string \"443\"; write a number such as 443, or \"#{port}\"".into(),
        ),
        ("status = 301, port = 0", ".port: 0 is out of range; choose 1 to 65535".into()),
        ("status = 301, host = \"a.b:80\"", format!(".host: \"a.b:80\" is not a host; {host_mend}")),
        ("status = 301, host = \"\"", format!(".host: \"\" is not a host; {host_mend}")),
        ("status = 301, host = \"#{name}\"", format!(".host: \"#{{name}}\" is no placeholder; {placeholders}")),
        ("status = 301, path = \"/#{path\"", format!(".path: \"#{{path\" is no placeholder; {placeholders}")),
        (
            "status = 301, path = \"#{path}/\"",
            ".path: \"#{path}/\" does not begin with a slash; write a path such as \"/new/#{path}\"; #{path} stands for the path \
             without its slash"
            .into(),
        ),
        (
            "status = 301, path = \"/a?b=1\"",
            ".path: \"/a?b=1\" is more than a path; put what follows the question mark into query".into(),
        ),
        (
            "status = 301, path = \"/a\\r\\nX: y\"",
            ".path: \"/a\\r\\nX: y\" does not fit a Location; write a path such as \"/new/#{path}\"".into(),
        ),
        ("status = 301, query = \"?a\"", ".query: \"?a\" begins with a question mark; leave it out: it is added".into()),
    ] {
        action_says(&format!("{{ redirect = {{ {typed} }} }}"), &[&format!(".redirect{says}")]);
    }
}

#[test]
fn r_r3_a_redirect_to_itself_is_refused() {
    let says = ": the redirect leads to the rule itself, for ever; change at least one of protocol, host, port and path to what the \
                rule does not match; a changed query is enough only where the rule has a query condition";
    for typed in
        ["status = 301", "status = 301, port = \"#{port}\", path = \"/#{path}\"", "status = 302, query = \"a=b\""]
    {
        action_says(&format!("{{ redirect = {{ {typed} }} }}"), &[says]);
    }
}

#[test]
fn r_r2_r_r3_what_the_router_refuses_is_said_for_each_rule_at_once() {
    let rule = |priority: u8, rest: &str| format!("[[listener.rule]]\npriority = {priority}\n{rest}\n");
    let rewrite = "rewrite = { path = { regex = \"^/(a\", with = \"/\" } }";
    let text = format!("default_action = {{ forward = \"app\", {rewrite} }}\n")
        + &rule(1, "path = { regex = \"^(\" }\naction = { forward = \"app\" }")
        + &rule(2, "action = { forward = \"app\" }")
        + &rule(3, "action = { forward = \"app\", rewrite = { path = { regex = \"a\", with = \"/$1\" } } }");
    let head = "[[listener]]\nname = \"x\"\nprotocol = \"http\"\naddress = \"0.0.0.0:80\"\n";
    let lines = printed(&format!("{head}{text}{GROUPS}"), Mode::Run);
    let begins = [
        "lb.toml:5: listener \"x\": default_action: \"^/(a\" is not a regular expression: ",
        "lb.toml:6: listener \"x\": rule #1: \"^(\" is not a regular expression: ",
        "lb.toml:13: listener \"x\": rule #3: ",
    ];
    assert_eq!(lines.len(), begins.len(), "{lines:?}");
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
}

#[test]
fn r_r3_values_of_a_fixed_response() {
    let types =
        "choose \"text/plain\" or \"text/css\" or \"text/html\" or \"application/javascript\" or \"application/json\"";
    for (typed, says) in [
        ("body = \"x\"", "status: missing; add status = 503".to_owned()),
        ("status = 199", "status: 199 is out of range; choose 200 to 599".into()),
        ("status = 302", "status: 302 needs a place to go to; choose 2xx, 4xx or 5xx, or use redirect".into()),
        ("status = 200, content_type = \"image/png\"", format!("content_type: \"image/png\" is not known; {types}")),
        (
            "status = 204, body = \"x\"",
            "body: a response of status 204 has no body (RFC 9110, 15.3); remove it, or choose another status".into(),
        ),
        (
            &format!("status = 200, body = \"{}\"", "x".repeat(1025)),
            "body: it has 1025 bytes; write 0 to 1024 bytes".into(),
        ),
    ] {
        action_says(&format!("{{ fixed_response = {{ {typed} }} }}"), &[&format!(".fixed_response.{says}")]);
    }
}

#[test]
fn a_listener_that_a_rule_forwards_to_itself_is_refused() {
    let text = format!(
        "[[listener]]\nname = \"x\"\nprotocol = \"http\"\naddress = \"10.0.0.5:8080\"\ndefault_action = {{ fixed_response = {{ \
         status = 404 }} }}\n[[listener.rule]]\npriority = 1\naction = {{ forward = \"app\" }}\n{GROUPS}"
    );
    let says = "lb.toml:4: listener \"x\": address: 10.0.0.5:8080 is also its target (line 13); give the target the address of \
                the machine that serves";
    expect(&text, &[says.to_owned()]);
}

#[test]
fn values_of_an_http_group() {
    for (typed, says) in [
        ("http_version = \"2\"", "http_version: HTTP/2 to targets is not in this version; write \"1.1\""),
        ("http_version = 1.1", "http_version: expected a string, found the number 1.1; put it in quotes"),
        (
            "algorithm = \"least_connections\"",
            "algorithm: \"least_connections\" counts clients' connections, and an http group is given requests; use \
             \"least_outstanding_requests\"",
        ),
        ("deregistration_delay = \"3601s\"", "deregistration_delay: \"3601s\" is out of range; choose 0s to 3600s"),
        ("response_timeout = \"0s\"", "response_timeout: \"0s\" is out of range; choose 1s to 3600s"),
        ("keep_alive.idle_max = 1025", "keep_alive.idle_max: 1025 is out of range; choose 0 to 1024"),
        ("keep_alive.idle_timeout = \"2h\"", "keep_alive.idle_timeout: \"2h\" is out of range; choose 1s to 3600s"),
        ("keep_alive.lifetime = \"2d\"", "keep_alive.lifetime: \"2d\" is out of range; choose 1s to 86400s"),
    ] {
        group_says(typed, &[says]);
    }
}

#[test]
fn a_tcp_group_has_no_keys_of_http() {
    let text =
        "[[target_group]]\nname = \"x\"\nprotocol = \"tcp\"\nlocation_repair = false\nderegistration_delay = \"1s\"\n";
    let says = "only an http group has it, and this one is tcp; remove it, or set protocol = \"http\"";
    expect(
        text,
        &[("location_repair", 4), ("deregistration_delay", 5)]
            .map(|(key, line)| format!("lb.toml:{line}: target group \"x\": {key}: {says}")),
    );
}

#[test]
fn r_s1_r_s2_values_of_stickiness() {
    let name_mend = "use 1 to 80 letters, digits, hyphens and underscores";
    for (typed, says) in [
        ("", "type: missing; add type = \"cookie\", or \"app_cookie\" to follow a cookie of the target's".to_owned()),
        ("type = \"coookie\"", "type: \"coookie\" is not known; did you mean \"cookie\"?".into()),
        (
            "type = \"source_ip\"",
            "type: \"source_ip\" stickiness is not in this version; use \"cookie\" or \"app_cookie\"".into(),
        ),
        ("type = \"cookie\", duration = \"999ms\"", "duration: \"999ms\" is out of range; choose 1s to 604800s".into()),
        (
            "type = \"cookie\", duration = \"1500ms\"",
            "duration: 1.5s is not a whole number of seconds; leave out the parts of a second".into(),
        ),
        ("type = \"cookie\", cookie = \"a b\"", format!("cookie: \"a b\" is not the name of a cookie; {name_mend}")),
        ("type = \"cookie\", cookie = \"a;b\"", format!("cookie: \"a;b\" is not the name of a cookie; {name_mend}")),
        (
            "type = \"cookie\", app_cookie = \"a\"",
            "app_cookie: only type \"app_cookie\" has it; remove it, or set type = \"app_cookie\"".into(),
        ),
        ("type = \"app_cookie\"", "app_cookie: missing; add app_cookie = \"name of the target's cookie\"".into()),
        (
            "type = \"app_cookie\", app_cookie = \"\"",
            format!("app_cookie: \"\" is not the name of a cookie; {name_mend}"),
        ),
        (
            "type = \"app_cookie\", app_cookie = \"WEIR-x\"",
            "app_cookie: the balancer's own cookie has this name; set cookie to another name".into(),
        ),
        (
            "type = \"cookie\", same_site = \"none\"",
            "same_site: browsers drop a SameSite=None cookie that is not Secure; add secure = true".into(),
        ),
        (
            "type = \"cookie\", cookie = \"__host-a\"",
            "cookie: browsers drop a cookie of this name that is not Secure; add secure = true, or rename it".into(),
        ),
        ("type = \"cookie\", same_site = \"Lax\"", "same_site: \"Lax\" is not known; did you mean \"lax\"?".into()),
    ] {
        group_says(&format!("stickiness = {{ {typed} }}"), &[&format!("stickiness.{says}")]);
    }
}

#[test]
fn r_h1_values_of_an_http_check() {
    let matcher = "write statuses and ranges of them in quotes, such as \"200-399\" or \"200,204,418\"";
    let statuses = "choose statuses from 100 to 599, the lower first";
    for (typed, says) in [
        (
            "path = \"up\"",
            "path: \"up\" is not a path; write at most 1024 visible characters such as \"/healthz\"".to_owned(),
        ),
        (
            "path = \"/a b\"",
            "path: \"/a b\" is not a path; write at most 1024 visible characters such as \"/healthz\"".into(),
        ),
        ("host = \"a\\r\\nb\"", "host: \"a\\r\\nb\" is not a host; write it like \"app.example.com\"".into()),
        ("method = \"POST\"", "method: \"POST\" is not known; choose \"HEAD\" or \"GET\"".into()),
        ("version = \"2\"", "version: HTTP/2 to targets is not in this version; write \"1.1\"".into()),
        ("matcher = 200", format!("matcher: expected statuses, found the number 200; {matcher}")),
        ("matcher = \"\"", format!("matcher: \"\" is not a matcher; {matcher}")),
        ("matcher = \"2xx\"", format!("matcher: \"2xx\" is not a matcher; {matcher}")),
        ("matcher = \"200,\"", format!("matcher: \"200,\" is not a matcher; {matcher}")),
        ("matcher = \"+200\"", format!("matcher: \"+200\" is not a matcher; {matcher}")),
        ("matcher = \"399-200\"", format!("matcher: \"399-200\" is no range of statuses; {statuses}")),
        ("matcher = \"200,600\"", format!("matcher: \"600\" is no range of statuses; {statuses}")),
    ] {
        group_says(&format!("health_check = {{ {typed} }}"), &[&format!("health_check.{says}")]);
    }
}

#[test]
fn r_m3_values_of_the_access_log() {
    for (typed, says) in [
        ("", "path: missing; add path = \"/var/log/weir/access.log\", or \"stdout\" or \"syslog\""),
        ("path = \"stdout\"\nformat = \"clf\"", "format: \"clf\" is not known; choose \"json\" or \"alb\""),
        ("path = \"a\"\nrotate_size = \"1KiB\"", "rotate_size: 1KiB is out of range; choose 1MiB to 1TiB"),
        ("path = \"a\"\nrotate_keep = 0", "rotate_keep: 0 is out of range; choose 1 to 1000"),
        (
            "path = \"stdout\"\nrotate_size = \"1MiB\"",
            "rotate_size: only a file is set aside by its size; remove it, or set path to a file's",
        ),
        (
            "path = \"syslog\"\nrotate_keep = 5",
            "rotate_keep: only a file is set aside by its size; remove it, or set path to a file's",
        ),
    ] {
        let line = 1 + typed.lines().count();
        expect(&format!("[access_log]\n{typed}\n"), &[format!("lb.toml:{line}: [access_log]: {says}")]);
    }
}

#[test]
fn r_s1_a_secret_is_long_enough_and_not_for_everyone() {
    for (file, says) in [
        ("missing", "missing cannot be read: No such file or directory (os error 2); check the path"),
        (
            "short",
            "short: line 1: a secret is 32 to 1024 visible ASCII characters without spaces; make one: openssl rand -hex 32",
        ),
        ("large", "large is larger than 16 KiB; shorten it, or name another file"),
        (
            "open-secret",
            "open-secret is open to every account of this machine (mode 0644); make a new one, and keep others out: chmod 640 \
             open-secret",
        ),
    ] {
        let text = format!("[balancer]\nsecret_file = \"{file}\"\n");
        expect(&text, &[format!("lb.toml:2: [balancer]: secret_file: {says}")]);
    }
    expect("[balancer]\nsecret_file = \"secret\"\n", &[]);
}
