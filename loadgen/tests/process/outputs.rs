//! What is written: for people, for programs, for reports.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{BINARY, Peer, Server, load, run};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn quiet_says_nothing() {
    let peer = Peer::answering(OK);
    let ran = run(&format!("http {} -n 10 -c 1 --quiet", peer.url()));
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""));
}

/// Root, size, and every element closed in its turn.
fn check_svg(text: &str) {
    assert!(text.trim_start().starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{text}");
    assert!(text.contains("width=\"") && text.contains("height=\""), "{text}");
    assert!(text.len() > 5_000, "{} bytes", text.len());
    let mut open = Vec::new();
    for tag in text.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = |tag: &str| tag.split_whitespace().next().unwrap_or_default().to_owned();
        match tag.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(name(closed)), "closed in turn"),
            None if tag.ends_with('/') || tag.starts_with(['!', '?']) => {}
            None => open.push(name(tag)),
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}
