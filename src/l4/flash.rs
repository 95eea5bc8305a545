//! The Flash policy responder: whoever asks in 23 bytes gets the cross-domain policy, nobody else gets anything (requirement
//! L6; Tencent's CLB has it on port 843).
//!
//! ```text
//!     Asking --23rd byte--> Answering --all is out--> Answered
//!       `--another byte, one too many, the end--> NotAsked: closed without an answer
//! ```
//!
//! A Flash player's request may come in pieces, and has nothing behind it. The time that all of it may take is the caller's.
//! Always: not a byte goes out before the whole request was there.
//! Before: shard/accept.rs. Next: shard/close.rs.

use std::io;
use std::rc::Rc;

use crate::ring::{Pool, Stream};

/// What a player sends, with the zero that ends it.
pub const POLICY_REQUEST: &[u8; 23] = b"<policy-file-request/>\0";

/// How an exchange ended that no error did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Responded {
    /// The policy is with the client.
    Answered,
    /// It was not asked for.
    NotAsked,
}

/// Waits for the request and answers it with `policy`. `received` sees the length of each piece as it comes.
///
/// Everything is out when it ends well: the stream may be closed at once.
///
/// # Errors
/// The client failed, or no buffer is left.
pub async fn answer_policy(
    client: &impl Stream,
    policy: &[u8],
    pool: &Rc<Pool>,
    received: impl Fn(usize),
) -> io::Result<Responded> {
    let mut to_come: &[u8] = POLICY_REQUEST;
    while !to_come.is_empty() {
        let Some(piece) = client.recv().await? else { return Ok(Responded::NotAsked) };
        received(piece.len());
        let Some(rest) = to_come.strip_prefix(&piece[..]) else { return Ok(Responded::NotAsked) };
        to_come = rest;
    }
    let mut to_go = policy;
    while !to_go.is_empty() {
        let mut buf = pool.take().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOBUFS))?;
        to_go = &to_go[buf.append(to_go)..];
        client.send(buf).await?;
    }
    client.shutdown().await?;
    Ok(Responded::Answered)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::ring::BUFFER_BYTES;
    use crate::ring::sim::{self, Far, Seen};

    const POLICY: &[u8] = b"<cross-domain-policy/>";

    /// What a client does after its last byte.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Then {
        Waits,
        Finishes,
        Resets,
    }

    /// What became of an exchange.
    #[derive(Debug)]
    struct Played {
        /// `None`: it waits.
        outcome: Option<io::Result<Responded>>,
        delivered: Vec<u8>,
        seen: Seen,
    }

    impl Played {
        fn is(&self, answer: Responded) -> bool {
            matches!(self.outcome, Some(Ok(outcome)) if outcome == answer)
        }
    }

    /// A client sends these pieces, and takes what it gets in pieces of `takes`.
    fn play(pieces: &[&[u8]], then: Then, policy: &[u8], takes: usize) -> Played {
        let pool = Pool::detached();
        let (client, far) = sim::connection(&pool);
        far.open_window(1 << 20);
        let outcome = {
            let mut exchange = pin!(answer_policy(&client, policy, &pool, |_| ()));
            let mut outcome = poll(exchange.as_mut());
            for piece in pieces {
                far.write(piece);
                run(&mut outcome, exchange.as_mut(), &far, piece.len(), takes);
            }
            match then {
                Then::Waits => {}
                Then::Finishes => far.finish(),
                Then::Resets => far.reset(),
            }
            run(&mut outcome, exchange.as_mut(), &far, 1, takes);
            outcome
        };
        drop(client);
        assert_eq!(pool.counts().leased, 0, "buffers leaked");
        let delivered = far.delivered().to_vec();
        Played { outcome, delivered, seen: far.sees() }
    }

    type Exchange<'e, F> = Pin<&'e mut F>;

    /// Until it is over, or nothing moves any more.
    fn run<F: Future<Output = io::Result<Responded>>>(
        outcome: &mut Option<io::Result<Responded>>,
        mut exchange: Exchange<'_, F>,
        far: &Far,
        arrives: usize,
        takes: usize,
    ) {
        while outcome.is_none() {
            if far.can_arrive() {
                far.arrive(arrives);
            } else if far.can_take() {
                far.take(takes);
            } else {
                return;
            }
            *outcome = poll(exchange.as_mut());
        }
    }

    fn poll<F: Future<Output = io::Result<Responded>>>(exchange: Exchange<'_, F>) -> Option<io::Result<Responded>> {
        match exchange.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }

    #[test]
    fn r_l6_the_request_gets_the_policy_and_a_close() {
        let played = play(&[POLICY_REQUEST], Then::Waits, POLICY, 1 << 20);
        assert!(played.is(Responded::Answered), "{played:?}");
        assert_eq!((&played.delivered[..], played.seen), (POLICY, Seen::End));
    }

    #[test]
    fn r_l6_a_client_that_has_finished_sending_gets_its_answer_too() {
        let (first, second) = POLICY_REQUEST.split_at(22);
        assert!(play(&[first, second], Then::Finishes, POLICY, 1).is(Responded::Answered));
    }

    #[test]
    fn r_l6_a_policy_longer_than_a_buffer_goes_out_whole() {
        let policy: Vec<u8> = (0..=u8::MAX).cycle().take(2 * BUFFER_BYTES + 7).collect();
        let played = play(&[POLICY_REQUEST], Then::Waits, &policy, 1000);
        assert!(played.is(Responded::Answered) && played.delivered == policy);
    }

    #[test]
    fn r_l6_anything_else_is_closed_without_an_answer() {
        let others: [&[u8]; 7] = [
            b"GET /crossdomain.xml HTTP/1.1\r\n\r\n",
            b"<policy-file-request/>",
            b"<policy-file-request/>\n",
            b"<policy-file-request/>\0\0",
            b"<Policy-file-request/>\0",
            b" <policy-file-request/>\0",
            b"\0",
        ];
        for sent in others {
            let played = play(&[sent], Then::Finishes, POLICY, 1 << 20);
            assert!(played.is(Responded::NotAsked) && played.delivered.is_empty(), "{sent:?}: {played:?}");
        }
        assert!(play(&[], Then::Finishes, POLICY, 1).is(Responded::NotAsked), "not a word");
    }

    #[test]
    fn r_l6_a_wrong_byte_ends_it_at_once_and_a_missing_one_is_waited_for() {
        assert!(play(&[b"<p", b"x"], Then::Waits, POLICY, 1).is(Responded::NotAsked));
        for sent in 0..POLICY_REQUEST.len() {
            let played = play(&[&POLICY_REQUEST[..sent]], Then::Waits, POLICY, 1);
            assert!(played.outcome.is_none() && played.delivered.is_empty(), "after {sent}: {played:?}");
        }
    }

    #[test]
    fn r_l6_a_client_that_resets_is_the_one_that_failed() {
        for sent in [0, 10] {
            let played = play(&[&POLICY_REQUEST[..sent]], Then::Resets, POLICY, 1);
            let error = played.outcome.and_then(Result::err);
            assert_eq!(error.and_then(|error| error.raw_os_error()), Some(libc::ECONNRESET), "after {sent}");
        }
    }

    proptest! {
        #[test]
        fn r_l6_the_policy_goes_to_those_23_bytes_and_to_no_others_however_they_come(
            bytes in prop_oneof![
                Just(POLICY_REQUEST.to_vec()),
                vec(any::<u8>(), 0..40),
                (0..23_usize, any::<u8>()).prop_map(|(at, byte)| {
                    let mut bytes = POLICY_REQUEST.to_vec();
                    bytes[at] = byte;
                    bytes
                }),
                (0..=23_usize).prop_map(|count| POLICY_REQUEST[..count].to_vec()),
            ],
            cuts in vec(0..40_usize, 0..6),
            finishes in any::<bool>(),
            takes in 1..50_usize,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < bytes.len()).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> =
                cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).filter(|piece| !piece.is_empty()).collect();
            let then = if finishes { Then::Finishes } else { Then::Waits };
            let played = play(&pieces, then, POLICY, takes);

            let is_request = bytes == POLICY_REQUEST;
            let may_become_one = POLICY_REQUEST.starts_with(&bytes) && !is_request && !finishes;
            // A piece too many behind the request may come when it is answered already.
            if bytes.starts_with(POLICY_REQUEST) && !is_request {
                return Ok(());
            }
            prop_assert_eq!(played.is(Responded::Answered), is_request, "{:?}", played);
            prop_assert_eq!(played.outcome.is_none(), may_become_one);
            prop_assert_eq!(&played.delivered[..], if is_request { POLICY } else { &[] });
        }
    }
}
