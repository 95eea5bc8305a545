//! Bytes on their way to one side: those that were written here, then a buffer that passes as it came.
//!
//!     bytes --copied into buffers--> held --> stream
//!     then  --appended where it fits---^   `-- else on its own
//!
//! A head and the body that came with it leave in one send where they fit into one buffer.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::ring::{Buf, Pool, Stream};

/// See the module's header. Reused from message to message: once warm it allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    /// So many of `bytes` are in buffers.
    at: usize,
    held: Option<Buf>,
    then: Option<Buf>,
}

impl Outgoing {
    /// Where heads and other bytes of our own are written. They go out after what is here already.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.then.is_none(), "bytes written behind a buffer would overtake it");
        &mut self.bytes
    }

    /// `buf` goes out after what was written. Only after `poll` was ready, or bytes alone were written since.
    pub(super) fn pass(&mut self, buf: Buf) {
        debug_assert!(self.then.is_none(), "one buffer at a time");
        self.then = Some(buf);
    }

    /// Whether `pass` may be called now.
    pub(super) fn can_pass(&self) -> bool {
        self.then.is_none()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_none() && self.then.is_none() && self.at == self.bytes.len()
    }

    /// Bytes that are not queued with a stream yet.
    pub(super) fn left(&self) -> usize {
        let of = |buf: &Option<Buf>| buf.as_ref().map_or(0, |buf| buf.len());
        of(&self.held) + of(&self.then) + self.bytes.len() - self.at
    }

    /// Forgets what was not sent.
    pub(super) fn clear(&mut self) {
        self.held = None;
        self.then = None;
        self.at = 0;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
    }

    /// Ready when all of it is queued with `stream`.
    pub(super) fn poll(
        &mut self,
        pool: &Rc<Pool>,
        stream: &impl Stream,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.held.is_some() {
                ready!(stream.poll_send(&mut self.held, context))?;
            } else if self.at < self.bytes.len() {
                self.held = Some(self.filled(pool)?);
            } else if self.then.is_some() {
                self.held = self.then.take();
            } else {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn filled(&mut self, pool: &Rc<Pool>) -> io::Result<Buf> {
        let mut buf = pool.take().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOBUFS))?;
        self.at += buf.append(&self.bytes[self.at..]);
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
            if let Some(then) = self.then.take_if(|then| then.len() <= buf.room()) {
                buf.append(&then);
            }
        }
        Ok(buf)
    }
}

/// Capacity that stays from one message to the next: heads are shorter, nearly always.
const KEPT_BYTES: usize = 4096;
