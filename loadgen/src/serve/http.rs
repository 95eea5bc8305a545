//! HTTP/1.1: every request is read to its end and answered in order.

use std::io;

use weir::ring::{Buf, Stream};

use super::behaviour::{Behaviour, Verdict};
use crate::http::{Asked, MessageReader};

/// Until the client has finished, or asked for the end.
pub(super) async fn serve(stream: &impl Stream, behaviour: &Behaviour, body_bytes: u64) -> io::Result<()> {
    let mut reader = MessageReader::<Asked>::default();
    let mut out = None;
    while let Some(buf) = stream.recv().await? {
        let mut rest = &buf[..];
        while !rest.is_empty() {
            let Ok((taken, asked)) = reader.feed(false, rest) else {
                behaviour.append(stream, &mut out, BAD_REQUEST).await?;
                return behaviour.flush(stream, &mut out).await;
            };
            rest = &rest[taken..];
            let Some(asked) = asked else { break };
            answer(stream, behaviour, &mut out, asked, body_bytes).await?;
            if !asked.keeps_alive {
                return behaviour.flush(stream, &mut out).await;
            }
        }
        behaviour.flush(stream, &mut out).await?;
    }
    Ok(())
}

async fn answer(
    stream: &impl Stream,
    behaviour: &Behaviour,
    out: &mut Option<Buf>,
    asked: Asked,
    body_bytes: u64,
) -> io::Result<()> {
    let verdict = behaviour.wait().await;
    let connection: &[u8] = if asked.keeps_alive { b"\r\n" } else { b"Connection: close\r\n\r\n" };
    if verdict == Verdict::Fail {
        behaviour.append(stream, out, UNAVAILABLE).await?;
        behaviour.append(stream, out, connection).await?;
    } else {
        let body_bytes = asked.body_bytes.unwrap_or(body_bytes);
        let mut digits = Digits::default();
        behaviour.append(stream, out, OK).await?;
        behaviour.append(stream, out, digits.of(body_bytes)).await?;
        behaviour.append(stream, out, b"\r\n").await?;
        behaviour.append(stream, out, connection).await?;
        if !asked.is_head {
            behaviour.append_filler(stream, out, body_bytes).await?;
        }
    }
    if behaviour.is_prompt() { Ok(()) } else { behaviour.flush(stream, out).await }
}

/// A number as text, without an allocation an answer.
#[derive(Default)]
struct Digits([u8; 20]);

impl Digits {
    fn of(&mut self, mut number: u64) -> &[u8] {
        let mut at = self.0.len();
        loop {
            at -= 1;
            self.0[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return &self.0[at..];
            }
        }
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nServer: weir-loadgen\r\nContent-Type: text/plain\r\nContent-Length: ";
const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nServer: weir-loadgen\r\nContent-Length: 0\r\n";
const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nServer: weir-loadgen\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_whole() {
        for number in [0, 7, 10, 65_536, u64::MAX] {
            assert_eq!(Digits::default().of(number), number.to_string().as_bytes());
        }
    }
}
