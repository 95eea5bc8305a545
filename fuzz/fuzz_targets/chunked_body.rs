//! A chunked body, whole and cut at any place: the same bytes go on; what goes on is a chunked body with the same content, ends
//! where it ends, and passes as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::l7::framing::{Body, BodyLength, Form, Forward};

fuzz_target!(|data: &[u8]| {
    // The first bytes say where to cut.
    let Some((cuts, input)) = data.split_first_chunk::<2>() else { return };
    let cut = [usize::from(cuts[0]), usize::from(cuts[1])];
    let whole = relay(input, &[input.len()], Form::AsReceived);
    assert_eq!(ends(&whole), ends(&relay(input, &cut, Form::AsReceived)), "cut at {cut:?}");
    assert_eq!(ends(&whole), ends(&relay(input, &[], Form::AsReceived)), "byte by byte");
    let content = relay(input, &cut, Form::Payload);
    assert_eq!(whole.is_some(), content.is_some());
    let (Some(whole), Some(content)) = (whole, content) else { return };
    assert_eq!(content.out.len(), content.payload);
    assert_eq!((whole.taken, whole.payload, whole.end), (content.taken, content.payload, content.end));
    let again = relay(&whole.out, &[whole.out.len()], Form::AsReceived).expect("what we pass on is a chunked body");
    assert_eq!((again.taken, again.payload, again.end), (whole.out.len(), whole.payload, whole.end));
    assert_eq!(again.out, whole.out, "stays as it is");
    let content_again = relay(&whole.out, &cut, Form::Payload).expect("as above");
    assert_eq!(content_again.out, content.out);
});

#[derive(Debug, PartialEq)]
struct Relayed {
    taken: usize,
    payload: usize,
    end: bool,
    out: Vec<u8>,
}

fn ends(relayed: &Option<Relayed>) -> Option<&Relayed> {
    relayed.as_ref()
}

/// In pieces of these lengths, and then byte by byte.
fn relay(input: &[u8], pieces: &[usize], form: Form) -> Option<Relayed> {
    let mut body = Body::new(BodyLength::Chunked);
    let mut all = Relayed { taken: 0, payload: 0, end: false, out: Vec::new() };
    let mut lengths = pieces.iter().copied();
    while all.taken < input.len() && !all.end {
        let length = lengths.next().unwrap_or(1).min(input.len() - all.taken);
        let piece = &input[all.taken..all.taken + length];
        let before = all.out.len();
        let relayed = body.relay(piece, form, &mut all.out).ok()?;
        if relayed.forward == Forward::AsIs {
            assert_eq!(all.out.len(), before);
            all.out.extend_from_slice(&piece[..relayed.taken]);
        }
        assert!(relayed.end || relayed.taken == piece.len());
        assert_eq!(relayed.end, body.is_done());
        all.taken += relayed.taken;
        all.payload += relayed.payload;
        all.end = relayed.end;
    }
    assert_eq!(body.ended().is_ok(), all.end);
    Some(all)
}
