//! A request head, whole and cut at any place: the same result; what is written is exactly one message, reads as what it
//! was written from, and stays as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::l7::framing::{Class, Finding, Refused, RequestEdits, RequestHead, Upgrade, Version};

const EDITS: RequestEdits<'_> = RequestEdits {
    version: Version::Http11,
    path_and_query: None,
    host: None,
    drop: &[],
    add: b"",
    upgrade: Upgrade::Pass,
};

fuzz_target!(|data: &[u8]| {
    // The first bytes say where to cut.
    let Some((cuts, input)) = data.split_first_chunk::<2>() else { return };
    let whole = read(input, &[input.len()]);
    let cut = [usize::from(cuts[0]), usize::from(cuts[1])];
    let pieces = read(input, &cut);
    assert_eq!(whole.as_ref().map(summary), pieces.as_ref().map(summary), "cut at {cut:?}");
    assert_eq!(whole.as_ref().map(summary), read(input, &[1; 0]).as_ref().map(summary), "byte by byte");
    let Ok(Some((head, taken))) = whole else { return };
    assert!(taken <= input.len());
    // Never sent on.
    if head.is_connect() {
        return;
    }
    let written = write(&head);
    let (again, taken) = read(&written, &[written.len()]).expect("what we write is a request").expect("a whole one");
    assert_eq!(taken, written.len(), "one message, no more");
    assert!(again.finding().class <= Class::Ambiguous);
    assert_eq!(again.method(), head.method());
    assert_eq!(again.path(), head.path());
    assert_eq!(again.query(), head.query());
    assert_eq!(again.body(), head.body());
    if !head.authority().is_empty() {
        assert_eq!(again.authority(), head.authority());
    }
    assert_eq!(write(&again), written, "stays as it is");
});

type Summary = (Vec<u8>, usize, Finding);

fn summary(read: &Option<(RequestHead, usize)>) -> Option<Summary> {
    read.as_ref().map(|(head, taken)| (write(head), *taken, head.finding()))
}

/// In pieces of these lengths, and then byte by byte; the status alone of a refusal, for limits may be passed in another order.
fn read(input: &[u8], pieces: &[usize]) -> Result<Option<(RequestHead, usize)>, u16> {
    let mut head = RequestHead::new();
    let mut at = 0;
    let mut lengths = pieces.iter().copied();
    while at < input.len() {
        let length = lengths.next().unwrap_or(1).min(input.len() - at);
        let read = head.read(&input[at..at + length]).map_err(|refused: Refused| refused.status)?;
        at += read.taken;
        if read.complete {
            return Ok(Some((head, at)));
        }
        assert_eq!(read.taken, length, "all of it, or the head is complete");
    }
    Ok(None)
}

fn write(head: &RequestHead) -> Vec<u8> {
    let mut written = Vec::new();
    // The exchange gives one where the client sent none.
    let host = head.authority().is_empty().then_some(&b"h"[..]);
    head.write(&RequestEdits { host, ..EDITS }, &mut written);
    written
}
