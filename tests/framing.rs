//! The corpus, driven through framing alone (requirements P1, P5).
//!
//!     tests/corpus --> read, verdict, write, relay --> the outcomes, compared byte by byte --> again, cut into pieces
//!
//! It stands in for the exchange: it does with a message what the exchange does, without a socket.
#![forbid(unsafe_code)]

#[path = "support/corpus.rs"]
mod corpus;

use std::fs;
use std::path::Path;

use corpus::{Case, Outcome};
use weir::config::Hygiene;
use weir::l7::framing::{
    Body, BodyLength, ClientConnection, Finding, Form, Forward, Length, Reason, RequestEdits, RequestHead,
    ResponseEdits, ResponseHead, Upgrade, Verdict, Version,
};

/// How what was sent is cut up.
const CUTS: [usize; 4] = [usize::MAX, 1, 2, 7];

const REQUEST_EDITS: RequestEdits<'_> = RequestEdits {
    version: Version::Http11,
    path_and_query: None,
    host: None,
    drop: &[],
    add: b"",
    upgrade: Upgrade::Pass,
};

#[test]
fn r_p5_each_request_of_the_corpus_reaches_the_target_as_it_should() {
    check(&corpus::load("requests"), 200, requests);
}

#[test]
fn r_p1_each_response_of_the_corpus_reaches_the_client_as_it_should() {
    check(&corpus::load("responses"), 60, responses);
}

#[test]
fn what_reaches_the_target_is_one_message_and_stays_as_it_is() {
    for case in corpus::load("requests") {
        for outcome in case.outcomes.iter().filter(|outcome| outcome.keyword == "target") {
            let again = Case { sent: outcome.bytes.clone(), ..case.clone() };
            let [one] = requests(&again, usize::MAX).try_into().unwrap_or_else(|outcomes: Vec<Outcome>| {
                panic!("{}: reads as {} messages", case.name, outcomes.len());
            });
            assert_eq!(show(&[outcome_bytes(&one)]), show(&[outcome_bytes(outcome)]), "{}", case.name);
        }
    }
}

/// The fuzzer begins with these: a part of the corpus, so that a message that is new there is tried in all its mutations.
#[test]
fn the_fuzzers_seeds_are_of_the_corpus() {
    for (target, seeds) in [
        ("request_head", seeds(&corpus::load("requests"), 5, |sent| sent)),
        ("response_head", seeds(&corpus::load("responses"), 2, |sent| sent)),
        ("chunked_body", seeds(&chunked(corpus::load("requests")), 1, behind_the_head)),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        if std::env::var_os("WRITE_SEEDS").is_some() {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).expect("fuzz/seeds");
            for (index, seed) in seeds.iter().enumerate() {
                fs::write(folder.join(format!("{index:03}")), seed).expect("a seed");
            }
        }
        for (index, seed) in seeds.iter().enumerate() {
            let file = fs::read(folder.join(format!("{index:03}"))).unwrap_or_default();
            assert!(file == *seed, "{target}/{index:03} is old: WRITE_SEEDS=1 cargo test --test framing seeds");
        }
    }
}

/// Each so manieth message, if it is short: two bytes that say where the fuzzer cuts, and a part of it.
fn seeds(cases: &[Case], each: usize, part: fn(&[u8]) -> &[u8]) -> Vec<Vec<u8>> {
    let short = cases.iter().step_by(each).filter(|case| case.sent.len() < 1_000);
    short.map(|case| [&[7, 16][..], part(&case.sent)].concat()).collect()
}

fn chunked(mut cases: Vec<Case>) -> Vec<Case> {
    cases.retain(|case| case.name.starts_with("chunks.txt"));
    cases
}

fn behind_the_head(message: &[u8]) -> &[u8] {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n").map_or(message.len(), |at| at + 4);
    &message[end..]
}

fn outcome_bytes(outcome: &Outcome) -> Outcome {
    Outcome { keyword: outcome.keyword.clone(), words: vec![], bytes: outcome.bytes.clone() }
}

fn check(cases: &[Case], at_least: usize, drive: fn(&Case, usize) -> Vec<Outcome>) {
    assert!(cases.len() >= at_least, "{} cases", cases.len());
    let mut failures = Vec::new();
    for case in cases {
        assert!(!case.outcomes.is_empty(), "{}: nothing is expected of it", case.name);
        for cut in CUTS {
            // Who sends one byte a time sends no megabytes.
            if cut < 7 && case.sent.len() > 100_000 {
                continue;
            }
            let found = drive(case, cut);
            if found != case.outcomes {
                let (expected, found) = (show(&case.outcomes), show(&found));
                failures.push(format!("== {}\nin pieces of {cut}, expected\n{expected}found\n{found}", case.name));
                break;
            }
        }
    }
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

fn show(outcomes: &[Outcome]) -> String {
    let show = |outcome: &Outcome| {
        let bytes: String = outcome.bytes.split_inclusive(|byte| *byte == b'\n').map(show_line).collect();
        let words = outcome.words.join(" ");
        format!("{}: {words}\n{bytes}", outcome.keyword)
    };
    outcomes.iter().map(show).collect()
}

fn show_line(line: &[u8]) -> String {
    match line.strip_suffix(b"\r\n") {
        Some(text) => format!("|{}\n", escape(text)),
        None => format!("|{}\\\n", escape(line)),
    }
}

/// As the corpus writes bytes.
fn escape(bytes: &[u8]) -> String {
    let escape = |byte: &u8| match byte {
        b'\r' => "\\r".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\t' => "\\t".to_owned(),
        0 => "\\0".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    bytes.iter().map(escape).collect()
}

fn words(finding: Finding, more: Option<&str>) -> Vec<String> {
    let words = [Some(finding.class.as_str()), finding.reason.map(Reason::as_str), more];
    words.into_iter().flatten().map(str::to_owned).collect()
}

fn outcome(keyword: &str, words: Vec<String>, bytes: Vec<u8>) -> Outcome {
    Outcome { keyword: keyword.to_owned(), words, bytes }
}

/// What comes of the requests that a client sends on one connection.
fn requests(case: &Case, cut: usize) -> Vec<Outcome> {
    let mode = match case.setting("mode", "defensive") {
        "monitor" => Hygiene::Monitor,
        "defensive" => Hygiene::Defensive,
        "strictest" => Hygiene::Strictest,
        other => panic!("{}: mode {other}", case.name),
    };
    let mut input = Input { rest: &case.sent, cut };
    let mut outcomes = Vec::new();
    let mut head = RequestHead::new();
    loop {
        head.clear();
        loop {
            match head.read(input.piece()) {
                Err(refused) => {
                    let mut words = words(refused.finding, None);
                    words.insert(0, refused.status.to_string());
                    outcomes.push(outcome("status", words, vec![]));
                    return outcomes;
                }
                Ok(read) => {
                    input.take(read.taken);
                    if read.complete {
                        break;
                    }
                }
            }
            if input.rest.is_empty() {
                if head.is_started() || outcomes.is_empty() {
                    let what = if head.is_started() { "head" } else { "nothing" };
                    outcomes.push(outcome("incomplete", vec![what.to_owned()], vec![]));
                }
                return outcomes;
            }
        }
        let finding = head.finding();
        let verdict = finding.verdict(mode);
        if verdict == Verdict::Refuse {
            let mut words = words(finding, None);
            words.insert(0, "400".to_owned());
            outcomes.push(outcome("status", words, vec![]));
            return outcomes;
        }
        let mut bytes = Vec::new();
        // 1.1 wants one: the exchange names the target where the client named nobody.
        let host = head.authority().is_empty().then_some(&b"target.example"[..]);
        head.write(&RequestEdits { host, ..REQUEST_EDITS }, &mut bytes);
        let head_length = bytes.len();
        match relay(head.body(), Form::AsReceived, &mut input, &mut bytes) {
            BodyEnd::Complete => {}
            BodyEnd::Bad => {
                bytes.truncate(head_length);
                outcomes.push(outcome("broken", words(finding, None), bytes));
                return outcomes;
            }
            BodyEnd::Open => {
                outcomes.push(outcome("incomplete", vec!["body".to_owned()], bytes));
                return outcomes;
            }
        }
        let closes = verdict == Verdict::ServeThenClose || !head.wants_keep_alive();
        outcomes.push(outcome("target", words(finding, closes.then_some("close")), bytes));
        if closes {
            return outcomes;
        }
    }
}

/// What comes of the responses that a target sends to one request: interim ones, and one that ends it.
fn responses(case: &Case, cut: usize) -> Vec<Outcome> {
    let (is_head, client) = (case.setting("request", "GET") == "HEAD", case.setting("speaks", "1.1"));
    let closes = case.setting("end", "open") == "close";
    let mut input = Input { rest: &case.sent, cut };
    let mut outcomes = Vec::new();
    let mut head = ResponseHead::new();
    loop {
        head.clear();
        loop {
            let Ok(read) = head.read(input.piece()) else {
                outcomes.push(outcome("bad", vec!["head".to_owned()], vec![]));
                return outcomes;
            };
            input.take(read.taken);
            if read.complete {
                break;
            }
            if input.rest.is_empty() {
                outcomes.push(outcome("incomplete", vec!["head".to_owned()], vec![]));
                return outcomes;
            }
        }
        let body = head.body(is_head);
        let (length, form) = match (body, client) {
            (BodyLength::Chunked, "1.0") => (Length::Closing, Form::Payload),
            (BodyLength::UntilClose, "1.1") => (Length::Chunked, Form::Chunked),
            _ => (Length::AsReceived, Form::AsReceived),
        };
        let connection = if client == "1.0" { ClientConnection::Close } else { ClientConnection::KeepAlive };
        let mut bytes = Vec::new();
        let upgrade = if head.status() == 101 { Upgrade::Pass } else { Upgrade::Drop };
        head.write(&ResponseEdits { connection, length, drop: &[], add: b"", upgrade }, &mut bytes);
        let head_length = bytes.len();
        // One piece, so that a chunk that is made of it does not depend on the cut.
        if body == BodyLength::UntilClose {
            input.cut = usize::MAX;
        }
        let is_usable = head.wants_keep_alive() && body != BodyLength::UntilClose && head.status() != 101;
        let mut end = Body::new(body);
        let ended = match relay(body, form, &mut input, &mut bytes) {
            BodyEnd::Open if closes && end.ended().is_ok() => {
                if form == Form::Chunked {
                    bytes.extend_from_slice(Body::LAST_CHUNK);
                }
                None
            }
            BodyEnd::Complete => None,
            BodyEnd::Bad => Some("bad"),
            BodyEnd::Open if closes => Some("truncated"),
            BodyEnd::Open => Some("incomplete"),
        };
        if let Some(keyword) = ended {
            bytes.truncate(head_length);
            outcomes.push(outcome(keyword, vec!["body".to_owned()], bytes));
            return outcomes;
        }
        let mut words = vec![head.status().to_string()];
        words.extend((!is_usable).then(|| "close".to_owned()));
        outcomes.push(outcome("client", words, bytes));
        if head.status() >= 200 || head.status() == 101 {
            if !input.rest.is_empty() {
                outcomes.push(outcome("rest", vec![input.rest.len().to_string()], vec![]));
            }
            return outcomes;
        }
    }
}

struct Input<'a> {
    rest: &'a [u8],
    cut: usize,
}

impl<'a> Input<'a> {
    fn piece(&self) -> &'a [u8] {
        &self.rest[..self.rest.len().min(self.cut)]
    }

    fn take(&mut self, length: usize) {
        self.rest = &self.rest[length..];
    }
}

enum BodyEnd {
    Complete,
    Bad,
    Open,
}

fn relay(length: BodyLength, form: Form, input: &mut Input<'_>, bytes: &mut Vec<u8>) -> BodyEnd {
    let mut body = Body::new(length);
    while !body.is_done() {
        let piece = input.piece();
        if piece.is_empty() {
            return BodyEnd::Open;
        }
        let Ok(relayed) = body.relay(piece, form, bytes) else { return BodyEnd::Bad };
        if relayed.forward == Forward::AsIs {
            bytes.extend_from_slice(&piece[..relayed.taken]);
        }
        input.take(relayed.taken);
    }
    BodyEnd::Complete
}
