//! Requests of one size, answers of another.

use std::io;

use weir::ring::Stream;

use super::behaviour::{Behaviour, Verdict};

/// Until the client has finished. An error also where one was asked for: the caller resets.
pub(super) async fn serve(
    stream: &impl Stream,
    behaviour: &Behaviour,
    request_bytes: u64,
    response_bytes: u64,
) -> io::Result<()> {
    let (mut received, mut out) = (0, None);
    while let Some(buf) = stream.recv().await? {
        received += buf.len() as u64;
        drop(buf);
        while received >= request_bytes {
            received -= request_bytes;
            if behaviour.wait().await == Verdict::Fail {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            behaviour.append_filler(stream, &mut out, response_bytes).await?;
            if !behaviour.is_prompt() {
                behaviour.flush(stream, &mut out).await?;
            }
        }
        behaviour.flush(stream, &mut out).await?;
    }
    Ok(())
}
