//! A connection without a kernel: `Stream` as `TcpStream` keeps it, with the kernel and the other side played by the caller.
//!
//!     far side --write--> wire --arrive--> receive queue --recv--> protocol code
//!     far side <--window-- delivered <--take-- send queue <--send-- protocol code
//!
//! Nothing here moves by itself and nothing is random: a scheduler that draws from a seed calls `Far`, and so decides how
//! small the pieces are, who stalls and where a reset strikes. What holds of `TcpStream` holds here: a receive begins with
//! the first `recv` and pauses at `RECEIVE_QUEUE_MAX`; a send returns at once until `SEND_QUEUE_MAX` buffers are unsent; its
//! error is kept and comes out of a later call; bytes come before the end or the error that follows them.
//!
//! Of a reset the kernel tells once, as Linux does: the first operation to meet it gets `ECONNRESET`, a send after that
//! `EPIPE`, a receive a plain end. A receive that had the end before the reset never hears of it.
//! Always: a waker is called only when the step can let its task go on; who is not woken will not be polled.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::buffers::{BUFFER_BYTES, Buf, Pool};
use super::socket::{RECEIVE_QUEUE_MAX, SEND_QUEUE_MAX};
use super::stream::Stream;

/// Our end: what protocol code holds.
pub struct SimStream {
    shared: Rc<RefCell<Connection>>,
}

/// The other side and the kernel in between.
pub struct Far {
    shared: Rc<RefCell<Connection>>,
}

/// How our end looks from the far side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// More may come.
    Open,
    /// We finished sending.
    End,
    /// We reset the connection.
    Reset,
}

struct Connection {
    pool: Rc<Pool>,
    receive: Receive,
    send: Sending,
    reset: Reset,
    abort: bool,
    /// Our handle is gone.
    closed: bool,
}

/// Did the far side reset?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reset {
    No,
    /// Yes, and the next operation will be told.
    Untold,
    /// Yes, and an operation was told.
    Told,
}

/// How the receiving direction ended.
#[derive(Debug, Clone, Copy)]
enum End {
    Eof,
    Error(i32),
}

#[derive(Default)]
struct Receive {
    /// Sent by the far side and not yet received.
    wire: VecDeque<u8>,
    /// The far side has finished: no bytes after those on the wire.
    finished: bool,
    armed: bool,
    queue: VecDeque<Buf>,
    end: Option<End>,
    waiting: Option<Waker>,
    handed_out: usize,
}

#[derive(Default)]
struct Sending {
    queue: VecDeque<Buf>,
    error: Option<i32>,
    shut: bool,
    waiting: Option<Waker>,
    delivered: Vec<u8>,
    /// Bytes that the kernel still takes before the far side has to read.
    window: usize,
}

/// A connection. The far side's window is closed at first (`Far::open_window`).
#[must_use]
pub fn connection(pool: &Rc<Pool>) -> (SimStream, Far) {
    let shared = Rc::new(RefCell::new(Connection {
        pool: Rc::clone(pool),
        receive: Receive::default(),
        send: Sending::default(),
        reset: Reset::No,
        abort: false,
        closed: false,
    }));
    (SimStream { shared: Rc::clone(&shared) }, Far { shared })
}

impl Stream for SimStream {
    fn poll_recv(&self, context: &mut Context<'_>) -> Poll<io::Result<Option<Buf>>> {
        self.shared.borrow_mut().poll_receive(context)
    }

    fn poll_failed(&self, context: &mut Context<'_>) -> Poll<io::Error> {
        let connection = &mut *self.shared.borrow_mut();
        if connection.reset != Reset::No {
            return Poll::Ready(io::Error::from_raw_os_error(libc::ECONNRESET));
        }
        connection.receive.waiting = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_send(&self, buf: &mut Option<Buf>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.borrow_mut().poll_send(buf, context)
    }

    fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.borrow_mut().poll_flush(context)
    }

    fn finish_sending(&self) -> io::Result<()> {
        let connection = &mut *self.shared.borrow_mut();
        if connection.reset != Reset::No {
            return Err(io::Error::from_raw_os_error(libc::ENOTCONN));
        }
        assert!(connection.send.queue.is_empty(), "the end is sent ahead of what is still queued");
        connection.send.shut = true;
        Ok(())
    }

    fn abort(&self) {
        self.shared.borrow_mut().abort = true;
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let connection = &mut *self.shared.borrow_mut();
        connection.closed = true;
        // A close with bytes unread is a reset (RFC 2525 2.17).
        connection.abort |= !connection.receive.wire.is_empty() || !connection.receive.queue.is_empty();
        connection.receive.queue.clear();
        // Lost, as with `TcpStream`.
        connection.send.queue.clear();
    }
}

impl Connection {
    fn poll_receive(&mut self, context: &Context<'_>) -> Poll<io::Result<Option<Buf>>> {
        let receive = &mut self.receive;
        if let Some(buf) = receive.queue.pop_front() {
            receive.handed_out += buf.len();
            return Poll::Ready(Ok(Some(buf)));
        }
        match (receive.end, self.send.error) {
            (Some(End::Error(errno)), _) | (Some(End::Eof), Some(errno)) => {
                return Poll::Ready(Err(io::Error::from_raw_os_error(errno)));
            }
            (Some(End::Eof), None) => return Poll::Ready(Ok(None)),
            (None, _) => {}
        }
        receive.armed = true;
        receive.waiting = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_send(&mut self, buf: &mut Option<Buf>, context: &Context<'_>) -> Poll<io::Result<()>> {
        let send = &mut self.send;
        assert!(!send.shut, "a send after the shutdown");
        if let Some(errno) = send.error {
            return Poll::Ready(Err(io::Error::from_raw_os_error(errno)));
        }
        if send.queue.len() >= SEND_QUEUE_MAX {
            send.waiting = Some(context.waker().clone());
            return Poll::Pending;
        }
        send.queue.extend(buf.take().filter(|buf| !buf.is_empty()));
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let send = &mut self.send;
        if let Some(errno) = send.error {
            return Poll::Ready(Err(io::Error::from_raw_os_error(errno)));
        }
        if send.queue.is_empty() {
            return Poll::Ready(Ok(()));
        }
        send.waiting = Some(context.waker().clone());
        Poll::Pending
    }

    /// Whether the operation that meets the reset is the one that is told.
    fn is_told(&mut self) -> bool {
        std::mem::replace(&mut self.reset, Reset::Told) == Reset::Untold
    }
}

impl Far {
    /// The far side sends `bytes`. They are lost if either side has ended the connection.
    ///
    /// # Panics
    /// If it has finished sending.
    pub fn write(&self, bytes: &[u8]) {
        let connection = &mut *self.shared.borrow_mut();
        assert!(!connection.receive.finished, "the far side has finished sending");
        if connection.reset == Reset::No && !connection.closed {
            connection.receive.wire.extend(bytes);
        }
    }

    /// The far side finishes sending.
    pub fn finish(&self) {
        self.shared.borrow_mut().receive.finished = true;
    }

    /// The far side resets, and reads nothing more.
    pub fn reset(&self) {
        let connection = &mut *self.shared.borrow_mut();
        if connection.reset == Reset::No {
            connection.reset = Reset::Untold;
            // A posted receive hears of it when it completes (`arrive`), a watch at once.
            if !connection.receive.armed {
                wake(&mut connection.receive.waiting);
            }
        }
    }

    /// A receive is posted and has something to complete with.
    #[must_use]
    pub fn can_arrive(&self) -> bool {
        let connection = self.shared.borrow();
        let receive = &connection.receive;
        let has_news = !receive.wire.is_empty() || receive.finished || connection.reset != Reset::No;
        receive.armed && receive.end.is_none() && has_news && !connection.closed
    }

    /// The posted receive completes: with at most `piece` bytes, or with the end or error that comes after the last.
    ///
    /// # Panics
    /// Unless `can_arrive`.
    pub fn arrive(&self, piece: usize) {
        assert!(self.can_arrive(), "no receive is posted, or nothing is there");
        let connection = &mut *self.shared.borrow_mut();
        let receive = &mut connection.receive;
        if receive.wire.is_empty() {
            receive.armed = false;
            let told = !receive.finished && connection.is_told();
            connection.receive.end = Some(if told { End::Error(libc::ECONNRESET) } else { End::Eof });
        } else {
            let Some(mut buf) = connection.pool.take() else { return };
            let count = piece.clamp(1, BUFFER_BYTES).min(receive.wire.len());
            buf.append(&receive.wire.make_contiguous()[..count]);
            receive.wire.drain(..count);
            receive.queue.push_back(buf);
            // Paused: `recv` posts it again when the queue is empty.
            receive.armed = receive.queue.len() < RECEIVE_QUEUE_MAX;
        }
        wake(&mut connection.receive.waiting);
    }

    /// The far side reads: the kernel takes so many bytes more.
    pub fn open_window(&self, bytes: usize) {
        self.shared.borrow_mut().send.window += bytes;
    }

    /// A send is posted and can complete.
    #[must_use]
    pub fn can_take(&self) -> bool {
        let connection = self.shared.borrow();
        !connection.send.queue.is_empty() && (connection.send.window > 0 || connection.reset != Reset::No)
    }

    /// The posted send goes on by at most `piece` bytes; after a reset it fails.
    ///
    /// # Panics
    /// Unless `can_take`.
    pub fn take(&self, piece: usize) {
        assert!(self.can_take(), "no send is posted, or the window is closed");
        let connection = &mut *self.shared.borrow_mut();
        if connection.reset != Reset::No {
            connection.send.error = Some(if connection.is_told() { libc::ECONNRESET } else { libc::EPIPE });
            connection.send.queue.clear();
            return wake(&mut connection.send.waiting);
        }
        let send = &mut connection.send;
        let Some(front) = send.queue.front_mut() else { return };
        let count = piece.clamp(1, send.window).min(front.len());
        send.delivered.extend_from_slice(&front[..count]);
        send.window -= count;
        front.advance(count);
        if front.is_empty() {
            send.queue.pop_front();
            wake(&mut send.waiting);
        }
    }

    /// Bytes that reached the far side.
    #[must_use]
    pub fn delivered(&self) -> std::cell::Ref<'_, [u8]> {
        std::cell::Ref::map(self.shared.borrow(), |connection| &connection.send.delivered[..])
    }

    /// What became of our end.
    #[must_use]
    pub fn sees(&self) -> Seen {
        let connection = self.shared.borrow();
        match connection {
            _ if connection.closed && connection.abort => Seen::Reset,
            _ if connection.closed || connection.send.shut => Seen::End,
            _ => Seen::Open,
        }
    }

    /// Bytes that `recv` has handed out.
    #[must_use]
    pub fn handed_out(&self) -> usize {
        self.shared.borrow().receive.handed_out
    }
}

fn wake(waiting: &mut Option<Waker>) {
    if let Some(waker) = waiting.take() {
        waker.wake();
    }
}
