//! Answers, as the generator reads them.

use super::message::{BadMessage, Body, Framing, HEADERS_MAX, Meaning, escaped};

/// What an answer's head said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// 200 and the like.
    pub status: u16,
    /// The connection may be used again.
    pub keeps_alive: bool,
    body: Body,
}

impl Meaning for Answered {
    fn parse(bytes: &[u8]) -> Result<Option<(usize, Self)>, BadMessage> {
        let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(BadMessage(format!("no HTTP/1 answer ({error}): {}", escaped(bytes)))),
        };
        let framing = Framing::read(response.version, response.headers)?;
        let (status, body) = (response.code.unwrap_or(0), framing.body(Body::UntilEnd));
        let ends_by_close = body == Body::UntilEnd && !has_no_body(status);
        Ok(Some((length, Answered { status, keeps_alive: framing.keeps_alive && !ends_by_close, body })))
    }

    fn body(&self, to_head: bool) -> Body {
        match self.status {
            SWITCHING_PROTOCOLS => Body::None,
            100..200 => Body::Head,
            status if to_head || has_no_body(status) => Body::None,
            _ => self.body,
        }
    }
}

/// RFC 9110, sections 15.3.5 and 15.4.5.
fn has_no_body(status: u16) -> bool {
    matches!(status, 101 | 204 | 304)
}

const SWITCHING_PROTOCOLS: u16 = 101;

#[cfg(test)]
mod tests {
    use super::super::MessageReader;
    use super::*;
    use proptest::prelude::*;

    /// Statuses of the answers in `pieces`, whether each keeps the connection, and the error that ends it.
    fn read(pieces: &[&[u8]], is_head: bool, ended: bool) -> (Vec<(u16, bool)>, Option<BadMessage>) {
        let (mut reader, mut answers) = (MessageReader::<Answered>::default(), Vec::new());
        let seen = |answer: Answered| (answer.status, answer.keeps_alive);
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                match reader.feed(is_head, rest) {
                    Ok((taken, answer)) => {
                        assert!(taken > 0, "no progress");
                        answers.extend(answer.map(seen));
                        rest = &rest[taken..];
                    }
                    Err(error) => return (answers, Some(error)),
                }
            }
        }
        answers.extend(reader.end().filter(|_| ended).map(seen));
        (answers, None)
    }

    const MANY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
        HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld\
        HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\
        HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n\
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n\
        HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n";
    const STATUSES: [(u16, bool); 6] = [(200, true), (200, true), (204, true), (304, true), (200, true), (503, false)];

    #[test]
    fn answers_end_where_their_framing_says() {
        assert_eq!(read(&[MANY], false, false), (STATUSES.to_vec(), None));
    }

    #[test]
    fn an_answer_without_a_length_ends_with_the_connection() {
        let bytes: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nhello";
        assert_eq!(read(&[bytes], false, false).0, []);
        assert_eq!(read(&[bytes], false, true).0, [(200, false)]);
    }

    #[test]
    fn an_answer_cut_short_is_not_whole() {
        let bytes: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
        assert_eq!(read(&[bytes], false, true).0, []);
    }

    #[test]
    fn the_answer_to_head_has_no_body() {
        let bytes: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
        assert_eq!(read(&[bytes], true, false).0, [(200, true), (200, true)]);
    }

    #[test]
    fn http_1_0_closes_unless_it_says_otherwise() {
        let bytes: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(&[bytes], false, false).0, [(200, false)]);
        let bytes: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n";
        assert_eq!(read(&[bytes], false, false).0, [(200, true)]);
    }

    #[test]
    fn what_is_no_answer_is_named() {
        for (bytes, word) in [
            (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], "SSH-2.0"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "many"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "6"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "xyz"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", "longer"),
        ] {
            let error = read(&[bytes], false, false).1.expect("an error");
            assert!(error.0.contains(word), "{error}");
        }
    }

    #[test]
    fn endless_heads_and_lines_are_refused() {
        let endless = [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'a'; 512 * 1024]].concat();
        assert!(read(&[&endless], false, false).1.unwrap().0.contains("head"));
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let endless = [head, vec![b'0'; 32 * 1024]].concat();
        assert!(read(&[&endless], false, false).1.unwrap().0.contains("line"));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(cuts in proptest::collection::vec(0..MANY.len(), 0..20)) {
            let mut cuts = cuts;
            cuts.extend([0, MANY.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &MANY[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(&pieces, false, false), (STATUSES.to_vec(), None));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = read(&[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &bytes], false, true);
            let _ = read(&[&bytes], false, true);
        }
    }
}
