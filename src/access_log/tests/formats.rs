//! Both formats, field by field, against lines written by hand.

use super::super::{alb, json};
use super::*;

/// The line, without its end.
fn line(write: fn(&Entry<'_>, &Origin, &mut Vec<u8>), entry: &Entry<'_>) -> String {
    let mut out = Vec::new();
    write(entry, &ORIGIN, &mut out);
    let line = String::from_utf8(out).unwrap();
    line.strip_suffix('\n').expect("a line ends").to_owned()
}

#[test]
fn r_m3_alb_a_request_that_was_forwarded() {
    let expected = concat!(
        "http 2018-07-02T22:23:00.186641Z edge 192.168.131.39:2817 10.0.0.1:80 0.000 0.001 0.000 200 200 34 366 ",
        r#""GET http://www.example.com:80/a?b=c HTTP/1.1" "curl/7.46.0" - - my-targets "#,
        r#""Root=1-58337262-36d228ad5d99923122bbe354" "-" "-" 0 2018-07-02T22:22:48.364000Z "forward" "-" "-" "#,
        r#""10.0.0.1:80" "200" "-" "-" TID_56ff00000000aa000300000000000011 "-" "-" "-""#,
    );
    assert_eq!(line(alb::write, &entry(&What::Request(request()))), expected);
}

#[test]
fn r_m3_alb_a_malformed_request_has_dashes_and_minus_one_for_what_never_was() {
    let what = What::Request(Request {
        number: 1,
        line: Line::Raw(b"\x16\x03\x01 nonsense"),
        host: b"",
        status: Some(400),
        target_status: None,
        request_us: None,
        target_us: None,
        response_us: None,
        user_agent: b"",
        trace_id: b"",
        rule: Rule::None,
        action: None,
        classification: "Severe",
        classification_reason: "BadMethod",
        ..request()
    });
    let entry = Entry { target_group: "", target: None, reason: "bad_request", ..entry(&what) };
    let expected = concat!(
        "http 2018-07-02T22:23:00.186641Z edge 192.168.131.39:2817 - -1 -1 -1 400 - 34 366 ",
        r#""- http://-:80- -" "-" - - - "-" "-" "-" - 2018-07-02T22:22:48.364000Z "-" "-" "bad_request" "#,
        r#""-" "-" "Severe" "BadMethod" TID_56ff00000000aa000300000000000011 "-" "-" "-""#,
    );
    assert_eq!(line(alb::write, &entry), expected);
}

#[test]
fn r_m3_alb_a_client_that_left_gets_460_and_a_redirect_its_url() {
    let gone = What::Request(Request { status: Some(460), target_status: None, ..request() });
    let gone = Entry { reason: "client_gone", ..entry(&gone) };
    assert!(line(alb::write, &gone).contains(" 460 - 34 366 "));
    let redirect = What::Request(Request {
        rule: Rule::Priority(50_000),
        action: Some(Action::Redirect),
        redirect_url: b"https://www.example.com:443/a?b=c",
        ..request()
    });
    let redirected = line(alb::write, &entry(&redirect));
    assert!(
        redirected
            .contains(r#" 50000 2018-07-02T22:22:48.364000Z "redirect" "https://www.example.com:443/a?b=c" "-" "#)
    );
}

#[test]
fn r_m3_alb_every_target_that_was_tried_is_listed_with_what_it_said() {
    let missed = ["10.0.0.7:80", "[fd00::9]:80"].map(|address| address.parse().unwrap());
    let tried = Entry { missed: &missed, ..entry(&What::Request(request())) };
    assert!(line(alb::write, &tried).contains(r#" "10.0.0.7:80 [fd00::9]:80 10.0.0.1:80" "- - 200" "#));
    let nobody = What::Request(Request { status: Some(502), target_status: None, ..request() });
    let nobody = Entry { missed: &missed, target: None, ..entry(&nobody) };
    assert!(line(alb::write, &nobody).contains(r#" "10.0.0.7:80 [fd00::9]:80" "- -" "#));
}

#[test]
fn r_m3_alb_a_rewrite_and_a_web_socket() {
    let what = What::Request(Request {
        kind: Kind::WebSocket,
        status: Some(101),
        target_status: Some(101),
        rule: Rule::Failed,
        action: Some(Action::FixedResponse),
        transformed_host: b"m.example.com",
        transformed_uri: b"/new",
        transform_status: "TransformSuccess",
        ..request()
    });
    let line = line(alb::write, &entry(&what));
    assert!(line.starts_with("ws 2018-"));
    assert!(line.contains(r#""GET http://www.example.com:80/a?b=c HTTP/1.1""#));
    assert!(line.contains(r#" -1 2018-07-02T22:22:48.364000Z "fixed-response" "#));
    assert!(line.ends_with(r#" "m.example.com" "/new" "TransformSuccess""#));
}

#[test]
fn r_m3_alb_a_relayed_connection_has_the_type_tcp() {
    let expected = concat!(
        "tcp 2018-07-02T22:23:00.186641Z edge 192.168.131.39:2817 10.0.0.1:80 0.000 0.001 0.000 - - 34 366 ",
        r#""- - -" "-" - - my-targets "-" "-" "-" - 2018-07-02T22:22:48.364000Z "forward" "-" "target_failed" "#,
        r#""10.0.0.1:80" "-" "-" "-" TID_56ff00000000aa000300000000000011 "-" "-" "-""#,
    );
    assert_eq!(line(alb::write, &Entry { reason: "target_failed", ..connection() }), expected);
    let refused = Entry { target: None, queue_us: None, connect_us: None, first_byte_us: None, ..connection() };
    assert!(line(alb::write, &refused).contains(" 192.168.131.39:2817 - -1 -1 -1 - - 34 366 "));
}

#[test]
fn r_m3_alb_a_request_target_that_is_no_path_stands_alone() {
    for uri in ["http://www.example.com/a", "*", "www.example.com:443"] {
        let what = What::Request(Request {
            line: Line::Parsed { method: b"GET", uri: uri.as_bytes(), version: "HTTP/1.1" },
            ..request()
        });
        assert!(line(alb::write, &entry(&what)).contains(&format!("\"GET {uri} HTTP/1.1\"")));
    }
}

#[test]
fn r_m3_alb_times_are_seconds_with_milliseconds() {
    let of = |request_us| {
        let entry = entry(&What::Request(Request { request_us: Some(request_us), ..request() }));
        line(alb::write, &entry).split(' ').nth(5).unwrap().to_owned()
    };
    assert_eq!(of(0), "0.000");
    assert_eq!(of(999), "0.000");
    assert_eq!(of(12_345_678), "12.345");
    assert_eq!(of(60_007_000), "60.007");
}

#[test]
fn r_m3_alb_no_client_can_end_a_field_or_a_line() {
    let what = What::Request(Request {
        line: Line::Parsed { method: b"GET", uri: b"/\" 200\\ \r\nhttp", version: "HTTP/1.1" },
        user_agent: "a\"b\\c\u{e9}\n\t\u{7f} d".as_bytes(),
        ..request()
    });
    let line = line(alb::write, &entry(&what));
    assert!(line.contains(r#""GET http://www.example.com:80/\x22\x20200\x5C\x20\x0D\x0Ahttp HTTP/1.1""#));
    assert!(line.contains(r#""a\x22b\x5Cc\xC3\xA9\x0A\x09\x7F d""#));
}

#[test]
fn r_m3_json_a_request_that_was_forwarded() {
    let expected = concat!(
        r#"{"time":"2018-07-02T22:23:00.186641Z","created":"2018-07-02T22:22:48.364000Z","type":"http","#,
        r#""balancer":"edge","listener":"web","shard":3,"connection":17,"client_ip":"192.168.131.39","client_port":2817,"#,
        r#""request":2,"method":"GET","uri":"/a?b=c","version":"HTTP/1.1","scheme":"http","host":"www.example.com","#,
        r#""port":80,"status":200,"target_group":"my-targets","target":"10.0.0.1:80","target_status":200,"#,
        r#""received_bytes":34,"sent_bytes":366,"total_us":11822641,"queue_us":11,"connect_us":70,"first_byte_us":1134,"#,
        r#""request_us":86,"target_us":1048,"response_us":37,"rule":0,"action":"forward","user_agent":"curl/7.46.0","#,
        r#""trace_id":"Root=1-58337262-36d228ad5d99923122bbe354"}"#,
    );
    assert_eq!(line(json::write, &entry(&What::Request(request()))), expected);
}

#[test]
fn r_m3_json_all_that_a_request_can_have_besides() {
    let missed = ["10.0.0.7:80".parse().unwrap()];
    let what = What::Request(Request {
        line: Line::Raw(b"GET /\x01"),
        status: None,
        target_status: None,
        request_us: None,
        target_us: None,
        response_us: None,
        user_agent: b"",
        trace_id: b"",
        domain_name: b"sni.example",
        rule: Rule::Failed,
        action: Some(Action::Redirect),
        redirect_url: b"https://b/",
        classification: "Ambiguous",
        classification_reason: "BadHeader",
        transformed_host: b"c",
        transformed_uri: b"/d",
        transform_status: "TransformSuccess",
        ..request()
    });
    let entry = Entry { missed: &missed, reason: "target_closed", first_byte_us: None, ..entry(&what) };
    let expected = concat!(
        r#"{"time":"2018-07-02T22:23:00.186641Z","created":"2018-07-02T22:22:48.364000Z","type":"http","#,
        r#""balancer":"edge","listener":"web","shard":3,"connection":17,"client_ip":"192.168.131.39","client_port":2817,"#,
        r#""request":2,"request_line":"GET /\u0001","scheme":"http","host":"www.example.com","port":80,"#,
        r#""reason":"target_closed","target_group":"my-targets","target":"10.0.0.1:80","#,
        r#""tried":["10.0.0.7:80","10.0.0.1:80"],"received_bytes":34,"sent_bytes":366,"total_us":11822641,"queue_us":11,"#,
        r#""connect_us":70,"rule":-1,"action":"redirect","redirect_url":"https://b/","domain_name":"sni.example","#,
        r#""classification":"Ambiguous","classification_reason":"BadHeader","transformed_host":"c","#,
        r#""transformed_uri":"/d","transform_status":"TransformSuccess"}"#,
    );
    assert_eq!(line(json::write, &entry), expected);
}

#[test]
fn r_m3_json_a_relayed_connection() {
    let expected = concat!(
        r#"{"time":"2018-07-02T22:23:00.186641Z","created":"2018-07-02T22:22:48.364000Z","type":"tcp","#,
        r#""balancer":"edge","listener":"web","shard":3,"connection":17,"client_ip":"192.168.131.39","client_port":2817,"#,
        r#""target_group":"my-targets","target":"10.0.0.1:80","received_bytes":34,"sent_bytes":366,"#,
        r#""total_us":11822641,"queue_us":11,"connect_us":70,"first_byte_us":1134}"#,
    );
    assert_eq!(line(json::write, &connection()), expected);
}

#[test]
fn r_m3_json_what_a_terminal_would_obey_is_escaped_and_what_is_not_utf8_is_replaced() {
    let what = What::Request(Request { user_agent: b"\"\\\x1b[2J\x7f\xc2\x9b\xff\xfe \xe2\x82 \xc3\xa9", ..request() });
    let line = line(json::write, &entry(&what));
    assert!(
        line.contains("\"user_agent\":\"\\\"\\\\\\u001b[2J\\u007f\\u009b\u{fffd}\u{fffd} \u{fffd} \u{e9}\""),
        "{line}"
    );
}

#[test]
fn times_beyond_what_can_be_written_are_the_last_that_can() {
    let far = Entry { ended_at_us: u64::MAX, lasted_us: u64::MAX, ..connection() };
    let line = line(json::write, &far);
    assert!(
        line.starts_with(r#"{"time":"9999-12-31T23:59:59.999999Z","created":"1970-01-01T00:00:00.000000Z""#),
        "{line}"
    );
}
