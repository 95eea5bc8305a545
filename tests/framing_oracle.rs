//! The corpus's requests, classified by us and by `http_desync_guardian`, which classifies for ALB (requirement P5).
//!
//!     tests/corpus/requests --a head--> ours, theirs --> alike, or a difference that is listed here with its reason
//!
//! It reads heads alone, so what is wrong with a chunk it cannot see. It was written for RFC 7230.
//! Always: we are as strict as it is, or stricter.
#![forbid(unsafe_code)]

#[path = "support/corpus.rs"]
mod corpus;

use std::collections::BTreeMap;

use http_desync_guardian::request_analyzer::HttpRequestData;
use weir::l7::framing::{Class, Finding, Reason, RequestHead};

#[test]
fn r_p5_classes_differ_from_albs_only_where_we_say_why() {
    let mut unlisted: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let mut seen = vec![false; DIFFERENCES.len()];
    let mut alike = 0;
    // Those of strictest repeat what others have.
    for case in corpus::load("requests").into_iter().filter(|case| case.setting("mode", "defensive") != "strictest") {
        let Some((ours, head)) = classify(&case.sent) else { continue };
        let theirs = HttpRequestData::analyze_raw_request(head);
        let (our_class, their_class) = (ours.class.as_str(), format!("{:?}", theirs.tier));
        let rank = |class: &str| Class::ALL.iter().position(|other| other.as_str() == class);
        assert!(rank(our_class) >= rank(&their_class), "{}: {our_class}, and ALB says {their_class}", case.name);
        if our_class == their_class {
            alike += 1;
            continue;
        }
        let ours = format!("{our_class} {}", ours.reason.map_or("", Reason::as_str));
        let theirs = format!("{their_class} {:?}", theirs.reason);
        match DIFFERENCES.iter().position(|(listed, other, _)| *listed == ours.trim() && *other == theirs) {
            Some(index) => seen[index] = true,
            None => unlisted.entry((ours, theirs)).or_default().push(case.name),
        }
    }
    assert!(unlisted.is_empty(), "{alike} alike; ours and theirs differ, and no reason is listed:\n{unlisted:#?}");
    let gone: Vec<_> =
        DIFFERENCES.iter().zip(seen).filter(|(_, seen)| !seen).map(|(difference, _)| difference).collect();
    assert!(gone.is_empty(), "listed, but no case of the corpus shows it: {gone:#?}");
}

/// Ours, and the bytes of the head; `None`: it has no end, or is only too long.
fn classify(sent: &[u8]) -> Option<(Finding, &[u8])> {
    let start = sent.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let sent = &sent[start..];
    let mut head = RequestHead::new();
    match head.read(sent) {
        Ok(read) if read.complete => Some((head.finding(), &sent[..read.taken])),
        Ok(_) => None,
        Err(refused) if refused.finding.class == Class::Compliant => None,
        Err(refused) => {
            let end = sent.windows(4).position(|window| window == b"\r\n\r\n").map_or(sent.len(), |at| at + 4);
            Some((refused.finding, &sent[..end]))
        }
    }
}

/// Ours, theirs, and why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    // What it does not look at.
    ("Acceptable AmbiguousUri", "Compliant Compliant", "raw bytes above ASCII are in no URI (RFC 3986)"),
    (
        "Ambiguous AmbiguousUri",
        "Compliant Compliant",
        "fragments, and absolute-form beside another Host: targets differ on both",
    ),
    (
        "Ambiguous SuspiciousHeader",
        "Compliant Compliant",
        "Connection that names a length away; ContentLength, which CGI's kin read as one",
    ),
    ("Severe BadHeader", "Compliant Compliant", "Host: RFC 9112, 3.2 asks for 400"),
    ("Severe BadMethod", "Compliant Compliant", "HTTP/1.1 is no token, so no method"),
    ("Severe BadUri", "Compliant Compliant", "the four forms of RFC 9112, 3.2, and no others"),
    (
        "Severe BadVersion",
        "Compliant Compliant",
        "versions above 1.x, which it takes for HTTP/2 and later and leaves alone; names of other protocols",
    ),
    // What the RFC asks us to refuse.
    ("Severe BadContentLength", "Compliant Compliant", "an empty Content-Length is no number"),
    (
        "Severe BadHeader",
        "Acceptable NonCompliantHeader",
        "RFC 9112, 5.1: whitespace ahead of a colon; and in a name, nobody knows where it ends",
    ),
    ("Severe BadHeader", "Ambiguous MissingHeaderColon", "no grammar reads it"),
    (
        "Severe BadHeader",
        "Ambiguous MultilineHeader",
        "RFC 9112, 2.2: whitespace ahead of the first field; and folded fields that decide about framing",
    ),
    ("Severe BadHeader", "Ambiguous SuspiciousHeader", "as above, ahead of the colon of a length"),
    ("Severe BadMethod", "Acceptable SpaceInUri", "whitespace ahead of the request line"),
    (
        "Severe BadTransferEncoding",
        "Ambiguous BothTeClPresent",
        "a coding that we do not know: 501, whatever is beside it",
    ),
    (
        "Severe BadTransferEncoding",
        "Compliant Compliant",
        "codings other than chunked: 501; chunked that is not the last: 400",
    ),
    ("Severe BadVersion", "Acceptable NonCompliantVersion", "HTTP/0.9 has no fields, so no Host and no end"),
    ("Severe BadVersion", "Ambiguous AmbiguousUri", "a tab is no space, so this has no version"),
    ("Severe BadVersion", "Ambiguous MissingUri", "one word, or two: no version"),
    (
        "Severe SpaceInUri",
        "Acceptable SpaceInUri",
        "RFC 9112, 3.2: not to be mended, as it may be there to get past a filter",
    ),
    (
        "Severe UndefinedTransferEncodingSemantics",
        "Ambiguous UndefinedTransferEncodingSemantics",
        "RFC 9112, 6.1: framing is faulty",
    ),
    // Where we are of another opinion.
    (
        "Severe BadHeader",
        "Acceptable NonCrLfLineTermination",
        "LF for some lines and CRLF for others is nobody's habit",
    ),
    ("Severe BadHeader", "Ambiguous BothTeClPresent", "as above, and a coding behind it"),
    ("Severe BadUri", "Ambiguous AmbiguousUri", "control bytes in a target"),
];
