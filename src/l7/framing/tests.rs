//! What the corpus (tests/corpus) does not show: edits, limits of what is kept, and properties of arbitrary bytes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::limits::{FIELDS_KEPT, HEAD_BYTES_KEPT};
use super::*;
use crate::config::Hygiene;

const EDITS: RequestEdits<'_> = RequestEdits {
    version: Version::Http11,
    path_and_query: None,
    host: None,
    drop: &[],
    add: b"",
    upgrade: Upgrade::Pass,
};

const RESPONSE_EDITS: ResponseEdits<'_> = ResponseEdits {
    connection: ClientConnection::KeepAlive,
    length: Length::AsReceived,
    drop: &[],
    add: b"",
    upgrade: Upgrade::Pass,
};

fn request(text: &str) -> RequestHead {
    let mut head = RequestHead::new();
    let read = head.read(text.as_bytes());
    assert_eq!(read, Ok(Read { taken: text.len(), complete: true }), "{text}");
    head
}

fn response(text: &str) -> ResponseHead {
    let mut head = ResponseHead::new();
    let read = head.read(text.as_bytes());
    assert_eq!(read, Ok(Read { taken: text.len(), complete: true }), "{text}");
    head
}

fn written(head: &RequestHead, edits: &RequestEdits<'_>) -> String {
    let mut out = Vec::new();
    head.write(edits, &mut out);
    String::from_utf8(out).expect("tests send UTF-8")
}

fn response_written(head: &ResponseHead, edits: &ResponseEdits<'_>) -> String {
    let mut out = Vec::new();
    head.write(edits, &mut out);
    String::from_utf8(out).expect("tests send UTF-8")
}

#[test]
fn r_p5_each_class_has_the_verdict_of_its_mode() {
    use Verdict::{Refuse, Serve, ServeThenClose};
    let finding = |class, reason| Finding { class, reason: Some(reason) };
    let table = [
        (Finding::NONE, [Serve, Serve, Serve]),
        (finding(Class::Acceptable, Reason::NonCompliantHeader), [Serve, Serve, Refuse]),
        (finding(Class::Ambiguous, Reason::UndefinedContentLengthSemantics), [Serve, ServeThenClose, Refuse]),
        (finding(Class::Ambiguous, Reason::BothTeClPresent), [ServeThenClose, ServeThenClose, Refuse]),
        (finding(Class::Severe, Reason::SpaceInUri), [Serve, Refuse, Refuse]),
        (finding(Class::Severe, Reason::BadHeader), [ServeThenClose, Refuse, Refuse]),
    ];
    for (finding, verdicts) in table {
        let modes = [Hygiene::Monitor, Hygiene::Defensive, Hygiene::Strictest];
        assert_eq!(modes.map(|mode| finding.verdict(mode)), verdicts, "{finding:?}");
    }
}

#[test]
fn the_worst_of_a_request_counts_and_the_first_of_what_is_as_bad() {
    let head = request("GET /\u{e9} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent_Length: 1\r\n\r\n");
    assert_eq!(head.finding(), Finding { class: Class::Ambiguous, reason: Some(Reason::SuspiciousHeader) });
}

#[test]
fn r_p5_a_doubtful_end_closes_whatever_else_is_wrong() {
    let doubtful = "GET /a b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
    let head = request(doubtful);
    assert_eq!(head.finding(), Finding { class: Class::Severe, reason: Some(Reason::SpaceInUri) });
    assert_eq!(head.finding().verdict(Hygiene::Monitor), Verdict::Serve);
    assert!(!head.wants_keep_alive());
    assert!(request("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n").wants_keep_alive());
}

#[test]
fn a_head_says_what_it_asks_for() {
    let head =
        request("POST /a/b?c=d HTTP/1.1\r\nHost: a.example:81\r\nAccept: x\r\nACCEPT: y\r\nContent-Length: 3\r\n\r\n");
    assert_eq!((head.method(), head.target()), (&b"POST"[..], &b"/a/b?c=d"[..]));
    assert_eq!((head.path(), head.query()), (&b"/a/b"[..], Some(&b"c=d"[..])));
    assert_eq!((head.authority(), head.host()), (&b"a.example:81"[..], &b"a.example"[..]));
    assert_eq!(head.values("accept").collect::<Vec<_>>(), [b"x", b"y"]);
    assert_eq!(head.fields().count(), 4);
    assert_eq!(head.body(), BodyLength::Length(3));
    assert_eq!(head.request_line(), b"POST /a/b?c=d HTTP/1.1");
    assert!(!head.is_idempotent() && !head.is_head() && !head.is_connect() && head.wants_keep_alive());
}

#[test]
fn a_host_without_brackets_or_port_is_itself_and_one_with_brackets_keeps_them() {
    for (authority, host) in [("a", "a"), ("a:1", "a"), ("[::1]", "[::1]"), ("[::1]:8", "[::1]")] {
        let head = request(&format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n"));
        assert_eq!(head.host(), host.as_bytes());
        let head = request(&format!("GET http://{authority}/ HTTP/1.0\r\n\r\n"));
        assert_eq!(head.host(), host.as_bytes());
    }
}

#[test]
fn methods_that_may_be_sent_twice_are_those_of_the_rfc() {
    for (method, expected) in
        [("GET", true), ("HEAD", true), ("PUT", true), ("DELETE", true), ("OPTIONS", true), ("TRACE", true)]
            .into_iter()
            .chain([("POST", false), ("PATCH", false), ("get", false), ("BREW", false)])
    {
        assert_eq!(request(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).is_idempotent(), expected, "{method}");
    }
}

#[test]
fn edits_of_a_request_are_made() {
    let head = request("GET /a?b HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nX-Two: 2\r\nAccept: x\r\n\r\n");
    let edits = RequestEdits {
        path_and_query: Some(b"/z"),
        host: Some(b"h:1"),
        drop: &["x-forwarded-for", "accept"],
        add: b"X-Real-IP: 1.1.1.1\r\n",
        ..EDITS
    };
    assert_eq!(written(&head, &edits), "GET /z HTTP/1.1\r\nHost: h:1\r\nX-Two: 2\r\nX-Real-IP: 1.1.1.1\r\n\r\n");
}

#[test]
fn r_g1_a_target_of_http_1_0_gets_http_1_0() {
    let head = request(
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\n",
    );
    let edits = RequestEdits { version: Version::Http10, ..EDITS };
    assert_eq!(written(&head, &edits), "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    assert!(head.expects_continue());
}

#[test]
fn r_p3_upgrade_passes_only_where_it_may() {
    let head = request("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(head.upgrade(), Some(&b"websocket"[..]));
    assert!(written(&head, &EDITS).contains("Connection: upgrade\r\nUpgrade: websocket\r\n"));
    let edits = RequestEdits { upgrade: Upgrade::Drop, ..EDITS };
    assert_eq!(written(&head, &edits), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn a_refused_request_still_has_its_line_for_the_log() {
    let mut head = RequestHead::new();
    let refused = head.read(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n").expect_err("a space ahead of a colon");
    assert_eq!((refused.status, head.request_line()), (400, &b"GET / HTTP/1.1"[..]));
    let mut head = RequestHead::new();
    let long = format!("GET /{}", "a".repeat(20_000));
    assert_eq!(head.read(long.as_bytes()).expect_err("a long line").status, 414);
    assert!(head.is_started() && head.request_line().starts_with(b"GET /aaa") && head.request_line().len() <= 16 << 10);
}

#[test]
fn a_line_of_an_unfinished_request_is_what_came_of_it() {
    let mut head = RequestHead::new();
    assert_eq!(head.read(b"\r\n\r"), Ok(Read { taken: 3, complete: false }));
    assert!(!head.is_started());
    assert_eq!(head.read(b"\nGET /a"), Ok(Read { taken: 7, complete: false }));
    assert!(head.is_started());
    assert_eq!(head.request_line(), b"GET /a");
}

#[test]
fn a_cleared_head_keeps_little_and_serves_again() {
    let mut head = RequestHead::new();
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-Note: abcdefghijklmnopqrstuvwxyz\r\n".repeat(99));
    assert!(head.read(large.as_bytes()).is_ok_and(|read| read.complete));
    head.clear();
    assert!(head.capacity() <= HEAD_BYTES_KEPT + FIELDS_KEPT * 16, "{}", head.capacity());
    let small = b"GET /b HTTP/1.1\r\nHost: b\r\n\r\nGET";
    assert_eq!(head.read(small), Ok(Read { taken: small.len() - 3, complete: true }));
    let before = head.capacity();
    head.clear();
    assert_eq!(head.capacity(), before);
    assert!(!head.is_started() && head.request_line().is_empty() && head.finding() == Finding::NONE);
}

#[test]
fn edits_of_a_response_are_made() {
    let head = response("HTTP/1.0 302 Found\r\nLocation: a\r\nServer: x\r\nLocation: b\r\nConnection: close\r\n\r\n");
    let edits = ResponseEdits {
        connection: ClientConnection::KeepAliveForHttp10,
        drop: &["server", "location"],
        add: b"Location: /c\r\n",
        ..RESPONSE_EDITS
    };
    let expected = "HTTP/1.1 302 Found\r\nConnection: keep-alive\r\nLocation: /c\r\n\r\n";
    assert_eq!(response_written(&head, &edits), expected);
    assert!(!head.wants_keep_alive());
}

#[test]
fn a_body_until_close_becomes_chunked_only_where_the_response_has_one() {
    let edits = ResponseEdits { length: Length::Chunked, ..RESPONSE_EDITS };
    let written = |text| response_written(&response(text), &edits);
    assert!(written("HTTP/1.1 200 OK\r\n\r\n").contains("Transfer-Encoding: chunked"));
    assert!(!written("HTTP/1.1 204 OK\r\n\r\n").contains("Transfer-Encoding"));
    assert!(!written("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n").contains("Transfer-Encoding"));
    assert_eq!(response("HTTP/1.1 200 OK\r\n\r\n").body(true), BodyLength::None);
    assert_eq!(response("HTTP/1.1 200 OK\r\n\r\n").body(false), BodyLength::UntilClose);
}

#[test]
fn a_body_of_known_length_ends_where_it_ends() {
    let mut body = Body::new(BodyLength::Length(5));
    let mut out = Vec::new();
    assert_eq!(body.ended(), Err(Truncated));
    let relayed = body.relay(b"hel", Form::AsReceived, &mut out);
    assert_eq!(relayed, Ok(Relayed { taken: 3, payload: 3, end: false, forward: Forward::AsIs }));
    let relayed = body.relay(b"loGET /", Form::AsReceived, &mut out);
    assert_eq!(relayed, Ok(Relayed { taken: 2, payload: 2, end: true, forward: Forward::AsIs }));
    assert_eq!(body.relay(b"GET /", Form::AsReceived, &mut out).map(|relayed| relayed.taken), Ok(0));
    assert!(body.is_done() && body.ended().is_ok() && out.is_empty());
}

#[test]
fn canonical_chunks_pass_as_they_are_and_others_do_not() {
    let forward = |text: &[u8]| {
        let mut out = Vec::new();
        let relayed = Body::new(BodyLength::Chunked).relay(text, Form::AsReceived, &mut out).expect("legal");
        assert!(relayed.end);
        relayed.forward
    };
    assert_eq!(forward(b"5\r\nhello\r\n0\r\n\r\n"), Forward::AsIs);
    assert_eq!(forward(b"5;a\r\nhello\r\n0\r\n\r\n"), Forward::Rewritten);
}

#[test]
fn a_bad_body_stays_bad() {
    let mut body = Body::new(BodyLength::Chunked);
    assert!(body.relay(b"x", Form::AsReceived, &mut Vec::new()).is_err());
    assert!(body.relay(b"0\r\n\r\n", Form::AsReceived, &mut Vec::new()).is_err());
    assert!(!body.is_done() && body.ended().is_err());
}

/// Bytes that make heads likely, and every other byte.
fn head_like() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(
        &[
            "GET ",
            "POST ",
            "/",
            "http://h/",
            " HTTP/1.1\r\n",
            " HTTP/1.0\r\n",
            "Host: a\r\n",
            "Host:",
            "Content-Length: 5\r\n",
            "Content-Length: 05, 5",
            "Transfer-Encoding: chunked\r\n",
            "transfer-encoding:",
            "Connection: close, x-a\r\n",
            "X-A: b\r\n",
            "\r\n",
            "\n",
            "\r",
            " ",
            "\t",
            ":",
            ",",
            "\0",
            "#",
            "?",
            "Upgrade: w\r\nConnection: upgrade\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.0 304 \r\n",
            "Content_Length: 1\r\n",
            "\r\n\r\n",
            "a",
            "[::1]:80",
            "*",
            "Expect: 100-continue\r\n",
            "\u{e9}",
        ][..],
    );
    let piece = prop_oneof![20 => words.prop_map(|word| word.as_bytes().to_vec()), 1 => vec(any::<u8>(), 0..4)];
    let good = Just(b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec());
    let good_response = Just(b"HTTP/1.1 200 OK\r\n".to_vec());
    (prop_oneof![good, good_response, Just(vec![])], vec(piece, 0..12), prop::bool::ANY).prop_map(
        |(start, pieces, ends)| {
            let end: &[u8] = if ends { b"\r\n\r\n" } else { b"" };
            [start, pieces.concat(), end.to_vec()].concat()
        },
    )
}

/// Bytes that make chunked bodies likely.
fn chunks_like() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(
        &[
            "5\r\nhello\r\n",
            "0\r\n",
            "\r\n",
            "00",
            "a",
            "1\r\nx\r\n",
            "1;e=\"q\"\r\nx\r\n",
            "X-A: b\r\n",
            "Host: h\r\n",
            " ",
            ";",
            "\n",
            "\r",
            "0\r\n\r\n",
            "03\r\nabc\r\n",
            "ffffffffffffffff",
            "g",
            ":",
            "\0",
        ][..],
    );
    let piece = prop_oneof![30 => words.prop_map(|word| word.as_bytes().to_vec()), 1 => vec(any::<u8>(), 0..4)];
    vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn cut<'a>(input: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    at.extend([0, input.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect()
}

/// The head and how much it took; `None`: it goes on. Of a refusal the status: limits may be passed in another order.
fn read_request(pieces: &[&[u8]]) -> Result<Option<(RequestHead, usize)>, u16> {
    let (mut head, mut taken) = (RequestHead::new(), 0);
    for piece in pieces {
        let read = head.read(piece).map_err(|refused| refused.status)?;
        taken += read.taken;
        if read.complete {
            return Ok(Some((head, taken)));
        }
        assert_eq!(read.taken, piece.len());
    }
    Ok(None)
}

fn read_response(pieces: &[&[u8]]) -> Result<Option<(ResponseHead, usize)>, ()> {
    let (mut head, mut taken) = (ResponseHead::new(), 0);
    for piece in pieces {
        let read = head.read(piece).map_err(|_| ())?;
        taken += read.taken;
        if read.complete {
            return Ok(Some((head, taken)));
        }
        assert_eq!(read.taken, piece.len());
    }
    Ok(None)
}

fn write_request(head: &RequestHead) -> Vec<u8> {
    let mut out = Vec::new();
    // The exchange gives one where the client sent none.
    let host = head.authority().is_empty().then_some(&b"h"[..]);
    head.write(&RequestEdits { host, ..EDITS }, &mut out);
    out
}

fn write_response(head: &ResponseHead) -> Vec<u8> {
    let mut out = Vec::new();
    head.write(&RESPONSE_EDITS, &mut out);
    out
}

/// What goes on, how much was taken, of that content, and whether it ended.
fn relay(pieces: &[&[u8]], form: Form) -> Option<(Vec<u8>, usize, usize, bool)> {
    let mut body = Body::new(BodyLength::Chunked);
    let (mut out, mut taken, mut payload) = (Vec::new(), 0, 0);
    for piece in pieces {
        let relayed = body.relay(piece, form, &mut out).ok()?;
        if relayed.forward == Forward::AsIs {
            out.extend_from_slice(&piece[..relayed.taken]);
        }
        taken += relayed.taken;
        payload += relayed.payload;
        if relayed.end {
            return Some((out, taken, payload, true));
        }
    }
    Some((out, taken, payload, false))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_request_reads_the_same_however_it_is_cut(input in head_like(), cuts in vec(any::<usize>(), 0..6)) {
        let summary = |read: Result<Option<(RequestHead, usize)>, u16>| {
            read.map(|read| read.map(|(head, taken)| (write_request(&head), taken, head.finding(), head.body())))
        };
        let whole = summary(read_request(&[&input]));
        prop_assert_eq!(&whole, &summary(read_request(&cut(&input, &cuts))));
        prop_assert_eq!(&whole, &summary(read_request(&input.chunks(1).collect::<Vec<_>>())));
    }

    #[test]
    fn what_is_written_of_a_request_is_that_request_and_no_other(input in head_like()) {
        if let Ok(Some((head, _))) = read_request(&[&input]) {
            let written = write_request(&head);
            let (again, taken) = read_request(&[&written]).expect("a request").expect("a whole one");
            prop_assert_eq!(taken, written.len());
            prop_assert_eq!(again.body(), head.body());
            prop_assert_eq!((again.method(), again.path(), again.query()), (head.method(), head.path(), head.query()));
            prop_assert!(again.authority() == head.authority() || head.authority().is_empty());
            prop_assert_eq!(write_request(&again), written);
        }
    }

    #[test]
    fn a_response_reads_the_same_however_it_is_cut(input in head_like(), cuts in vec(any::<usize>(), 0..6)) {
        let summary = |read: Result<Option<(ResponseHead, usize)>, ()>| {
            read.map(|read| read.map(|(head, taken)| (write_response(&head), taken, head.body(false))))
        };
        let whole = summary(read_response(&[&input]));
        prop_assert_eq!(&whole, &summary(read_response(&cut(&input, &cuts))));
        prop_assert_eq!(&whole, &summary(read_response(&input.chunks(1).collect::<Vec<_>>())));
    }

    #[test]
    fn what_is_written_of_a_response_is_that_response_and_no_other(input in head_like()) {
        if let Ok(Some((head, _))) = read_response(&[&input]) {
            let written = write_response(&head);
            let (again, taken) = read_response(&[&written]).expect("a response").expect("a whole one");
            prop_assert_eq!(taken, written.len());
            prop_assert_eq!(again.status(), head.status());
            prop_assert_eq!(again.body(false), head.body(false));
            prop_assert_eq!(write_response(&again), written);
        }
    }

    #[test]
    fn a_chunked_body_goes_on_the_same_however_it_is_cut(input in chunks_like(), cuts in vec(any::<usize>(), 0..6)) {
        let whole = relay(&[&input], Form::AsReceived);
        prop_assert_eq!(&whole, &relay(&cut(&input, &cuts), Form::AsReceived));
        prop_assert_eq!(&whole, &relay(&input.chunks(1).collect::<Vec<_>>(), Form::AsReceived));
        if let Some((out, _, payload, end)) = whole {
            let again = relay(&[&out], Form::AsReceived).expect("a chunked body");
            prop_assert_eq!(&again, &(out.clone(), out.len(), payload, end));
            let content = relay(&cut(&input, &cuts), Form::Payload).expect("as above");
            prop_assert_eq!(content.0.len(), payload);
            prop_assert_eq!(content.0, relay(&[&out], Form::Payload).expect("as above").0);
        }
    }

    #[test]
    fn a_body_that_is_chunked_anew_has_the_same_content(content in vec(any::<u8>(), 0..600), cuts in vec(any::<usize>(), 0..4)) {
        let mut body = Body::new(BodyLength::UntilClose);
        let mut out = Vec::new();
        for piece in cut(&content, &cuts) {
            let relayed = body.relay(piece, Form::Chunked, &mut out).expect("any bytes");
            prop_assert_eq!(relayed.forward, Forward::Rewritten);
        }
        prop_assert_eq!(body.ended(), Ok(()));
        out.extend_from_slice(Body::LAST_CHUNK);
        prop_assert_eq!(relay(&[&out], Form::Payload).map(|(content, ..)| content), Some(content));
        prop_assert_eq!(relay(&[&out], Form::AsReceived).map(|(again, _, _, end)| (again, end)), Some((out, true)));
    }

    #[test]
    fn any_bytes_are_read_or_refused(input in vec(any::<u8>(), 0..300)) {
        let _ = read_request(&[&input]);
        let _ = read_response(&[&input]);
        let _ = relay(&[&input], Form::AsReceived);
    }
}
