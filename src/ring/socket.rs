//! A connection's slot: its descriptor, what the kernel owes it, what was received and what is to be sent.
//!
//!     receive:  Idle --poll--> Armed --buffer or queue full--> Cancelling --last completion--> Idle, one buffer at a time
//!                 ^              `--no buffer left--> Starved --buffers are back--> Armed
//!                 `---- end of stream, error, or the kernel ended the multishot
//!
//! A send is queued and the caller goes on: at most one is with the kernel, so that bytes stay in order, and its buffer goes
//! back when it completes, without waking a task. A caller waits only while `SEND_QUEUE_MAX` buffers are unsent. An error of
//! a send is kept and comes out of the next call on the socket.
//!
//! Always: the slot, its descriptor and its buffers outlive the last completion. Dropping the handle cancels what is in
//! flight and leaves the slot to the driver, which closes the descriptor when `in_flight` is 0.

use std::io;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll, Waker};

use io_uring::{cqueue, opcode, squeue, types};

use super::buffers::{BUFFER_BYTES, Buf, Queue};
use super::driver::{BUFFER_GROUP, Core, as_slot};
use super::options;
use super::token::{self, Kind};

/// Received buffers that nobody has taken yet: at so many the receive is cancelled until they are.
pub const RECEIVE_QUEUE_MAX: usize = 8;
/// Buffers queued for sending: at so many the sender waits. One is with the kernel and one is ready to follow it; more would
/// only wait, and fall out of the cache meanwhile.
pub const SEND_QUEUE_MAX: usize = 2;
/// So many receives in a row that do not fill their buffer, and a multishot serves again. The last piece of every body is one.
const MULTISHOT_AFTER_SHORT: u8 = 8;
/// A buffer's length, as the kernel takes it.
#[expect(clippy::cast_possible_truncation)]
const BUFFER_LEN: u32 = BUFFER_BYTES as u32;
/// A registered descriptor saves the kernel a look-up each send and costs two operations a socket, which a connection that
/// serves a request or two cannot win back. Too little to see in a bench.
const REGISTER_AFTER_SENDS: u8 = 8;
/// What a watch waits for. The kernel reports both whether or not they are asked for.
const WATCHED: u32 = (libc::POLLERR | libc::POLLHUP) as u32;

pub(super) struct Socket {
    pub(super) generation: u32,
    pub(super) fd: RawFd,
    /// Operations whose last completion is still to come: one receive, one send or connect, one watch.
    pub(super) in_flight: u8,
    /// The handle is gone.
    released: bool,
    /// Sends so far, up to `REGISTER_AFTER_SENDS`.
    sends: u8,
    registered: bool,
    watch: Watch,
    receive: Receive,
    send: Send,
    connect: Option<Box<Connect>>,
}

struct Receive {
    queue: Queue,
    state: ReceiveState,
    end: Option<End>,
    /// Bytes come faster than they are taken: one buffer a receive until that changes. A multishot fills dozens before its
    /// cancel gets through (the kernel receives 32 times in a row), which is what each stalled reader would cost.
    one_at_a_time: bool,
    /// Receives in a row that did not fill their buffer, while it is one at a time.
    short: u8,
    waiter: Waiter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReceiveState {
    Idle,
    Armed,
    Cancelling,
    Starved,
}

/// The poll for a failure: once a connection at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    Off,
    On,
    Over,
}

/// How the receiving direction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Eof,
    Error(i32),
}

struct Send {
    queue: Queue,
    /// The first of the queue is with the kernel.
    sending: bool,
    error: Option<i32>,
    waiter: Waiter,
}

struct Connect {
    /// What the kernel reads when the connect is submitted.
    address: socket2::SockAddr,
    result: Option<i32>,
    waiter: Waiter,
}

/// A task that waits, woken at most once for each time it said so.
#[derive(Default)]
pub(super) struct Waiter {
    waker: Option<Waker>,
    waiting: bool,
}

impl Waiter {
    pub(super) fn wait(&mut self, context: &Context<'_>) {
        self.waiting = true;
        // Most tasks come back with the waker they left: cloning it only when it differs saves two atomic operations.
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            self.waker = Some(context.waker().clone());
        }
    }

    pub(super) fn wake(&mut self) {
        if std::mem::replace(&mut self.waiting, false)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }
}

impl Socket {
    fn new(generation: u32, fd: RawFd) -> Self {
        Socket {
            generation,
            fd,
            in_flight: 0,
            released: false,
            sends: 0,
            registered: false,
            watch: Watch::Off,
            receive: Receive {
                queue: Queue::EMPTY,
                state: ReceiveState::Idle,
                end: None,
                one_at_a_time: false,
                short: 0,
                waiter: Waiter::default(),
            },
            send: Send { queue: Queue::EMPTY, sending: false, error: None, waiter: Waiter::default() },
            connect: None,
        }
    }

    /// A registered descriptor is known to the kernel under its own number.
    fn flags(&self) -> squeue::Flags {
        if self.registered { squeue::Flags::FIXED_FILE } else { squeue::Flags::empty() }
    }
}

impl Core {
    /// Takes a connected or fresh socket over.
    pub(super) fn adopt_socket(&mut self, fd: OwnedFd) -> u32 {
        let generation = self.next_generation();
        let index = self.sockets.insert(Socket::new(generation, fd.into_raw_fd()));
        as_slot(index)
    }

    pub(super) fn fd_of(&self, slot: u32) -> RawFd {
        self.sockets[slot as usize].fd
    }

    /// The handle is gone: nothing more is received or sent.
    pub(super) fn release_socket(&mut self, slot: u32) {
        let socket = &mut self.sockets[slot as usize];
        socket.released = true;
        self.released += 1;
        let generation = socket.generation;
        let (receiving, sending) = (socket.receive.state == ReceiveState::Armed, socket.send.sending);
        let starved = socket.receive.state == ReceiveState::Starved;
        let watching = socket.watch == Watch::On;
        let connecting = socket.connect.as_ref().is_some_and(|connect| connect.result.is_none());
        self.pool.clear(&mut socket.receive.queue);
        if !sending {
            self.pool.clear(&mut socket.send.queue);
        }
        if receiving {
            self.cancel(Kind::Receive, generation, slot);
        }
        if sending {
            self.cancel(Kind::Send, generation, slot);
        }
        if connecting {
            self.cancel(Kind::Connect, generation, slot);
        }
        if watching {
            self.cancel(Kind::Watch, generation, slot);
        }
        if starved {
            self.starved.retain(|waiting| *waiting != (slot, generation));
        }
        self.finish_socket(slot);
    }

    /// Frees a released slot once the kernel owes it nothing.
    fn finish_socket(&mut self, slot: u32) {
        let socket = &self.sockets[slot as usize];
        if !socket.released || socket.in_flight > 0 {
            return;
        }
        let mut socket = self.sockets.remove(slot as usize);
        self.released -= 1;
        self.pool.clear(&mut socket.send.queue);
        debug_assert!(socket.receive.queue.is_empty());
        if socket.registered {
            self.unregister(socket.fd);
        }
        self.close(socket.fd);
    }

    pub(super) fn start_connect(&mut self, slot: u32, address: socket2::SockAddr) {
        let socket = &mut self.sockets[slot as usize];
        socket.in_flight += 1;
        let (generation, fd) = (socket.generation, types::Fd(socket.fd));
        // The slot owns the address, boxed so that it stays in place when the slab moves.
        let connect = socket.connect.insert(Box::new(Connect { address, result: None, waiter: Waiter::default() }));
        let entry = opcode::Connect::new(fd, connect.address.as_ptr().cast(), connect.address.len());
        self.push(entry.build().user_data(token::encode(Kind::Connect, generation, slot)));
    }

    pub(super) fn poll_connect(&mut self, slot: u32, context: &Context<'_>) -> Poll<io::Result<()>> {
        let socket = &mut self.sockets[slot as usize];
        let Some(connect) = &mut socket.connect else { return Poll::Ready(Ok(())) };
        match connect.result {
            None => {
                connect.waiter.wait(context);
                Poll::Pending
            }
            Some(result) => {
                socket.connect = None;
                Poll::Ready(if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) })
            }
        }
    }

    pub(super) fn complete_connect(&mut self, slot: u32, result: i32) {
        let socket = &mut self.sockets[slot as usize];
        socket.in_flight -= 1;
        if let Some(connect) = &mut socket.connect {
            connect.result = Some(result);
            connect.waiter.wake();
        }
        self.finish_socket(slot);
    }

    pub(super) fn poll_receive(&mut self, slot: u32, context: &Context<'_>) -> Poll<io::Result<Option<Buf>>> {
        let socket = &mut self.sockets[slot as usize];
        if let Some(id) = self.pool.pop(&mut socket.receive.queue) {
            return Poll::Ready(Ok(Some(self.pool.wrap(id))));
        }
        match (socket.receive.end, socket.send.error) {
            // A reset may reach us through a send first; the receive then sees a plain end.
            (Some(End::Error(errno)), _) | (Some(End::Eof), Some(errno)) => {
                return Poll::Ready(Err(io::Error::from_raw_os_error(errno)));
            }
            (Some(End::Eof), None) => return Poll::Ready(Ok(None)),
            (None, _) => {}
        }
        socket.receive.waiter.wait(context);
        if socket.receive.state == ReceiveState::Idle {
            self.arm_receive(slot);
        }
        Poll::Pending
    }

    /// Ready with the error once the connection has failed, whatever is still queued: for whoever waits for another socket and
    /// does not receive from this one meanwhile. A reset would go unseen without it.
    pub(super) fn poll_failed(&mut self, slot: u32, context: &Context<'_>) -> Poll<io::Error> {
        let socket = &mut self.sockets[slot as usize];
        let received = if let Some(End::Error(errno)) = socket.receive.end { Some(errno) } else { None };
        if let Some(errno) = received.or(socket.send.error) {
            return Poll::Ready(io::Error::from_raw_os_error(errno));
        }
        socket.receive.waiter.wait(context);
        let is_posted = matches!(socket.receive.state, ReceiveState::Armed | ReceiveState::Cancelling);
        if !is_posted && socket.watch == Watch::Off {
            socket.watch = Watch::On;
            socket.in_flight += 1;
            let entry = opcode::PollAdd::new(types::Fd(socket.fd), WATCHED).build().flags(socket.flags());
            let user_data = token::encode(Kind::Watch, socket.generation, slot);
            self.push(entry.user_data(user_data));
        }
        Poll::Pending
    }

    pub(super) fn complete_watch(&mut self, slot: u32, result: i32) {
        let socket = &mut self.sockets[slot as usize];
        socket.in_flight -= 1;
        socket.watch = Watch::Over;
        // Without an error it was a hang-up: both sides have finished, in order.
        if u32::try_from(result).is_ok_and(|events| events & libc::POLLERR as u32 != 0) {
            socket.receive.end = Some(End::Error(options::error_of(socket.fd).unwrap_or(libc::ECONNRESET)));
            socket.receive.waiter.wake();
        }
        self.finish_socket(slot);
    }

    fn arm_receive(&mut self, slot: u32) {
        let socket = &mut self.sockets[slot as usize];
        socket.receive.state = ReceiveState::Armed;
        socket.in_flight += 1;
        let fd = types::Fd(socket.fd);
        let entry = if socket.receive.one_at_a_time || self.pool.is_short() {
            let entry = opcode::Recv::new(fd, std::ptr::null_mut(), BUFFER_LEN).buf_group(BUFFER_GROUP).build();
            entry.flags(socket.flags() | squeue::Flags::BUFFER_SELECT)
        } else {
            opcode::RecvMulti::new(fd, BUFFER_GROUP).build().flags(socket.flags())
        };
        let user_data = token::encode(Kind::Receive, socket.generation, slot);
        self.push(entry.user_data(user_data));
    }

    pub(super) fn complete_receive(&mut self, slot: u32, result: i32, flags: u32) {
        let socket = &mut self.sockets[slot as usize];
        if !cqueue::more(flags) {
            socket.in_flight -= 1;
            socket.receive.state = ReceiveState::Idle;
        }
        if let Some(id) = cqueue::buffer_select(flags) {
            self.pool.received(id, usize::try_from(result).unwrap_or(0));
            if result > 0 && !socket.released {
                self.pool.push(&mut socket.receive.queue, id);
            } else {
                self.pool.give_back(id);
            }
        }
        let socket = &mut self.sockets[slot as usize];
        let received = u32::try_from(result).unwrap_or(0);
        match -result {
            0 => socket.receive.end = Some(End::Eof),
            libc::ENOBUFS => return self.starve(slot),
            // Ours: paused or released. What was paused is armed again by the next poll.
            libc::ECANCELED => {}
            errno if errno > 0 => socket.receive.end = Some(End::Error(errno)),
            _ if socket.receive.state == ReceiveState::Armed
                && (received == BUFFER_LEN || socket.receive.queue.len() >= self.pool.share(RECEIVE_QUEUE_MAX)) =>
            {
                socket.receive.state = ReceiveState::Cancelling;
                socket.receive.one_at_a_time = true;
                socket.receive.short = 0;
                let generation = socket.generation;
                socket.receive.waiter.wake();
                return self.cancel(Kind::Receive, generation, slot);
            }
            _ if received == BUFFER_LEN => socket.receive.short = 0,
            _ if socket.receive.one_at_a_time => {
                socket.receive.short += 1;
                socket.receive.one_at_a_time = socket.receive.short < MULTISHOT_AFTER_SHORT;
            }
            _ => {}
        }
        socket.receive.waiter.wake();
        self.finish_socket(slot);
    }

    #[cold]
    fn starve(&mut self, slot: u32) {
        self.pool.note_ran_out();
        let socket = &mut self.sockets[slot as usize];
        if socket.released {
            return self.finish_socket(slot);
        }
        // Its reader has not taken what is there: it needs no more yet, and the poll after the last of it arms again. Arming
        // here let a stalled reader's socket take the whole pool, a burst at a time.
        if !socket.receive.queue.is_empty() {
            socket.receive.one_at_a_time = true;
            return socket.receive.waiter.wake();
        }
        socket.receive.state = ReceiveState::Starved;
        let generation = socket.generation;
        self.starved.push_back((slot, generation));
    }

    /// Receives that ended for want of a buffer begin again, as many as there are buffers.
    pub(super) fn feed_starved(&mut self) {
        if self.starved.is_empty() || !self.pool.refill() {
            return;
        }
        for _ in 0..self.pool.counts().provided {
            let Some((slot, generation)) = self.starved.pop_front() else { return };
            let waits = self.sockets.get(slot as usize).is_some_and(|socket| {
                socket.generation == generation && socket.receive.state == ReceiveState::Starved && !socket.released
            });
            if waits {
                self.arm_receive(slot);
            }
        }
    }

    /// Queues `buf`, or waits while the queue is full. The buffer is gone from `buf` once it is queued.
    pub(super) fn poll_send(
        &mut self,
        slot: u32,
        buf: &mut Option<Buf>,
        context: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = &mut self.sockets[slot as usize];
        if let Some(errno) = socket.send.error {
            return Poll::Ready(Err(io::Error::from_raw_os_error(errno)));
        }
        if socket.send.queue.len() >= self.pool.share(SEND_QUEUE_MAX) {
            socket.send.waiter.wait(context);
            return Poll::Pending;
        }
        if let Some(buf) = buf.take().filter(|buf| !buf.is_empty()) {
            let id = self.pool.unwrap(buf);
            self.pool.push(&mut socket.send.queue, id);
            if !socket.send.sending {
                self.start_send(slot);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when all that was queued is with the kernel's socket.
    pub(super) fn poll_flush(&mut self, slot: u32, context: &Context<'_>) -> Poll<io::Result<()>> {
        let send = &mut self.sockets[slot as usize].send;
        if let Some(errno) = send.error {
            return Poll::Ready(Err(io::Error::from_raw_os_error(errno)));
        }
        if send.queue.is_empty() {
            return Poll::Ready(Ok(()));
        }
        send.waiter.wait(context);
        Poll::Pending
    }

    fn start_send(&mut self, slot: u32) {
        let socket = &mut self.sockets[slot as usize];
        let Some((start, len)) = self.pool.front(&socket.send.queue) else { return };
        socket.send.sending = true;
        socket.in_flight += 1;
        if socket.sends < REGISTER_AFTER_SENDS {
            socket.sends += 1;
        } else if !socket.registered {
            self.register_socket(slot);
        }
        let socket = &self.sockets[slot as usize];
        let entry = opcode::Send::new(types::Fd(socket.fd), start, len)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build()
            .flags(socket.flags());
        let user_data = token::encode(Kind::Send, socket.generation, slot);
        self.push(entry.user_data(user_data));
    }

    /// From now on the kernel knows it under its number. Asked for with each send where it cannot be: a comparison.
    fn register_socket(&mut self, slot: u32) {
        let fd = self.fd_of(slot);
        if self.can_register(fd) {
            self.sockets[slot as usize].registered = true;
            self.register(fd);
        }
    }

    pub(super) fn complete_send(&mut self, slot: u32, result: i32) {
        let socket = &mut self.sockets[slot as usize];
        socket.in_flight -= 1;
        socket.send.sending = false;
        match (u32::try_from(result), self.pool.front(&socket.send.queue)) {
            (Ok(sent), Some((_, len))) if sent < len => {
                self.pool.consume_front(&socket.send.queue, u16::try_from(sent).unwrap_or(u16::MAX));
            }
            (Ok(_), _) => {
                if let Some(id) = self.pool.pop(&mut socket.send.queue) {
                    self.pool.give_back(id);
                }
            }
            (Err(_), _) => {
                socket.send.error = Some(-result);
                self.pool.clear(&mut socket.send.queue);
            }
        }
        socket.send.waiter.wake();
        if socket.released {
            return self.finish_socket(slot);
        }
        if !socket.send.queue.is_empty() {
            self.start_send(slot);
        }
    }
}
