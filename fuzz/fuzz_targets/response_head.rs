//! A response head, whole and cut at any place: the same result; what is written is exactly one message, reads as what it
//! was written from, and stays as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::l7::framing::{BodyLength, ClientConnection, Length, ResponseEdits, ResponseHead, Upgrade};

fuzz_target!(|data: &[u8]| {
    // The first bytes say where to cut.
    let Some((cuts, input)) = data.split_first_chunk::<2>() else { return };
    let whole = read(input, &[input.len()]);
    let cut = [usize::from(cuts[0]), usize::from(cuts[1])];
    assert_eq!(summary(&whole), summary(&read(input, &cut)), "cut at {cut:?}");
    assert_eq!(summary(&whole), summary(&read(input, &[])), "byte by byte");
    let Some((head, taken)) = whole.ok().flatten() else { return };
    assert!(taken <= input.len());
    let written = write(&head);
    let (again, taken) = read(&written, &[written.len()]).expect("what we write is a response").expect("a whole one");
    assert_eq!(taken, written.len(), "one message, no more");
    assert_eq!(again.status(), head.status());
    for head_request in [true, false] {
        let (before, after) = (head.body(head_request), again.body(head_request));
        // What ended with the connection is chunked now.
        assert!(before == after || (before == BodyLength::UntilClose && after == BodyLength::Chunked));
    }
    assert_eq!(write(&again), written, "stays as it is");
});

fn summary(read: &Result<Option<(ResponseHead, usize)>, ()>) -> Result<Option<(Vec<u8>, usize)>, ()> {
    read.as_ref().map(|read| read.as_ref().map(|(head, taken)| (write(head), *taken))).map_err(|()| ())
}

/// In pieces of these lengths, and then byte by byte.
fn read(input: &[u8], pieces: &[usize]) -> Result<Option<(ResponseHead, usize)>, ()> {
    let mut head = ResponseHead::new();
    let mut at = 0;
    let mut lengths = pieces.iter().copied();
    while at < input.len() {
        let length = lengths.next().unwrap_or(1).min(input.len() - at);
        let read = head.read(&input[at..at + length]).map_err(|_| ())?;
        at += read.taken;
        if read.complete {
            return Ok(Some((head, at)));
        }
        assert_eq!(read.taken, length, "all of it, or the head is complete");
    }
    Ok(None)
}

fn write(head: &ResponseHead) -> Vec<u8> {
    let length = if head.body(false) == BodyLength::UntilClose { Length::Chunked } else { Length::AsReceived };
    let mut written = Vec::new();
    let connection = ClientConnection::KeepAlive;
    let edits = ResponseEdits { connection, length, drop: &[], add: b"", upgrade: Upgrade::Pass };
    head.write(&edits, &mut written);
    written
}
