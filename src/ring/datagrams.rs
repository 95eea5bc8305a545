//! A UDP socket's slot: its descriptor, what the kernel owes it, and the datagrams that nobody has taken yet.
//!
//!     receive:  Idle --poll--> Armed --queue full--> Cancelling --last completion--> Idle
//!                 ^              `--no buffer left--> Starved --buffers are back--> Armed
//!                 `---- an empty datagram, an error, or the kernel ended the multishot
//!     send:     poll --> outgoing (buffer, address) --completion--> buffer back, room for the next
//!
//! One multishot RECVMSG brings each datagram in one provided buffer: `| header | sender's address | payload |`. It is queued as
//! it is and opened when it is taken. A full queue cancels the receive rather than drop: what comes then waits in the socket's
//! own buffer, and the kernel drops the rest without a turn of ours and counts it (`UdpSocket::kernel_drops`).
//! Dropped here is only what a cancelled receive still brings while the shard is short of buffers.
//!
//! A send has its own slot, as many may be with the kernel at once, in any order. It is a SEND with an address (Linux 6.1,
//! commit 516e82f0e043) and not a SENDMSG: only an address to keep in place instead of header, vector and address, and on a
//! connected socket nothing at all.
//!
//! Always: slots and what they own outlive the last completion. Dropping the handle cancels what is in flight and leaves
//! the slot to the driver, which closes the descriptor when the kernel owes it nothing.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll, Waker};

use io_uring::{cqueue, opcode, types};
use slab::Slab;

use super::buffers::{BUFFER_BYTES, Buf, Pool, Queue};
use super::driver::{BUFFER_GROUP, Core, as_slot};
use super::name::{NAME_BYTES, Name};
use super::socket::{ReceiveState, Waiter};
use super::token::{self, Kind};
use super::udp::UdpCounts;

/// Longest datagram that can be received: what header and address leave of a buffer. Longer ones are dropped and counted.
pub const DATAGRAM_BYTES_MAX: usize = BUFFER_BYTES - HEADER_BYTES - NAME_BYTES;
/// Datagrams of a socket that are queued or with the kernel: at so many the sender waits, for the next turn as a rule, as a datagram goes
/// out when it is submitted unless the socket is full.
pub const DATAGRAMS_IN_FLIGHT_MAX: usize = 64;
/// Received datagrams that nobody has taken yet: at so many the receive is cancelled until they are. A turn brings at most 99 (measured: 99
/// in the first turn of a receive, 33 in each later one), so a reader that takes all in its turn never waits for a cancel.
pub const DATAGRAM_QUEUE_MAX: usize = 256;
/// The same while the pool is short: half of what the kernel receives in a row. What a cancelled receive still brings is dropped then.
const DATAGRAM_QUEUE_SHORT: usize = 16;
/// `struct io_uring_recvmsg_out` of the kernel.
const HEADER_BYTES: usize = 16;
/// Address boxes kept for the next sends. More are in use only in a burst on many sockets.
const SPARE_NAMES_MAX: usize = 1024;

/// A shard's UDP sockets.
pub(super) struct Udp {
    pub(super) sockets: Slab<UdpSlot>,
    outgoing: Slab<Outgoing>,
    #[expect(clippy::vec_box, reason = "the boxes are what is spared: they go to the next sends as they are")]
    spare_names: Vec<Box<Name>>,
    /// Sockets whose receive ended because no buffer was left: slot and generation.
    starved: VecDeque<(u32, u32)>,
    /// What every receive asks for: room for an address, and the rest of the buffer for the payload. The kernel reads it when a
    /// receive is submitted and writes nothing to it. Boxed, so that it stays in place when `Udp` moves.
    request: Box<libc::msghdr>,
}

pub(super) struct UdpSlot {
    generation: u32,
    fd: RawFd,
    /// The handle is gone.
    released: bool,
    receive: ReceiveState,
    queue: Queue,
    receive_error: Option<i32>,
    receiver: Waiter,
    /// Sends whose completion is still to come.
    sends: usize,
    send_error: Option<i32>,
    /// Who waits for room to send.
    senders: Vec<Waker>,
    counts: UdpCounts,
}

/// A datagram that is with the kernel.
struct Outgoing {
    generation: u32,
    socket: u32,
    buf: Buf,
    /// Boxed, so that it stays in place when the slab moves. None: where the socket is connected to.
    name: Option<Box<Name>>,
}

/// Why a received datagram is not handed over.
enum Unfit {
    Truncated,
    /// No IP address, as a socket of another family would bring, or a header that is not one.
    Unreadable,
}

impl Udp {
    pub(super) fn new() -> Self {
        // SAFETY: integers and pointers, for all of which zero is a value.
        let mut request: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        request.msg_namelen = libc::socklen_t::try_from(NAME_BYTES).unwrap_or_default();
        Udp { sockets: Slab::new(), outgoing: Slab::new(), spare_names: Vec::new(), starved: VecDeque::new(), request }
    }

    pub(super) fn in_flight(&self) -> usize {
        let receives = self.sockets.iter().filter(|(_, socket)| socket.is_receiving()).count();
        receives + self.outgoing.len()
    }

    /// Whether a completion of this kind has a slot of its generation.
    pub(super) fn knows(&self, kind: Kind, generation: u32, index: usize) -> bool {
        match kind {
            Kind::Datagram => self.sockets.get(index).is_some_and(|socket| socket.generation == generation),
            Kind::Outgoing => self.outgoing.get(index).is_some_and(|outgoing| outgoing.generation == generation),
            _ => false,
        }
    }

    pub(super) fn fd_of(&self, slot: u32) -> RawFd {
        self.sockets[slot as usize].fd
    }

    pub(super) fn counts_of(&self, slot: u32) -> UdpCounts {
        self.sockets[slot as usize].counts
    }

    fn box_name(&mut self, address: SocketAddr) -> Box<Name> {
        let name = Name::from(address);
        let Some(mut spare) = self.spare_names.pop() else { return Box::new(name) };
        *spare = name;
        spare
    }

    fn keep_name(&mut self, name: Option<Box<Name>>) {
        if self.spare_names.len() < SPARE_NAMES_MAX {
            self.spare_names.extend(name);
        }
    }
}

impl UdpSlot {
    fn new(generation: u32, fd: RawFd) -> Self {
        UdpSlot {
            generation,
            fd,
            released: false,
            receive: ReceiveState::Idle,
            queue: Queue::EMPTY,
            receive_error: None,
            receiver: Waiter::default(),
            sends: 0,
            send_error: None,
            senders: Vec::new(),
            counts: UdpCounts::default(),
        }
    }

    fn is_receiving(&self) -> bool {
        matches!(self.receive, ReceiveState::Armed | ReceiveState::Cancelling)
    }

    fn wait_to_send(&mut self, context: &Context<'_>) {
        if !self.senders.iter().any(|waker| waker.will_wake(context.waker())) {
            self.senders.push(context.waker().clone());
        }
    }
}

/// Taking over and giving up.
impl Core {
    pub(super) fn adopt_udp(&mut self, fd: OwnedFd) -> u32 {
        let generation = self.next_generation();
        as_slot(self.udp.sockets.insert(UdpSlot::new(generation, fd.into_raw_fd())))
    }

    /// The handle is gone: nothing more is received, and what cannot be sent at once is not sent.
    pub(super) fn release_udp(&mut self, slot: u32) {
        let socket = &mut self.udp.sockets[slot as usize];
        socket.released = true;
        let (generation, fd, receive) = (socket.generation, socket.fd, socket.receive);
        let sending = socket.sends > 0;
        self.pool.clear(&mut socket.queue);
        match receive {
            ReceiveState::Armed => self.cancel(Kind::Datagram, generation, slot),
            ReceiveState::Starved => self.udp.starved.retain(|waiting| *waiting != (slot, generation)),
            ReceiveState::Idle | ReceiveState::Cancelling => {}
        }
        if sending {
            // Behind the sends in the submission queue: it meets only those that the socket had no room for.
            self.cancel_all(fd);
        }
        self.finish_udp(slot);
    }

    /// Frees a released slot once the kernel owes it nothing.
    fn finish_udp(&mut self, slot: u32) {
        let socket = &self.udp.sockets[slot as usize];
        if !socket.released || socket.is_receiving() || socket.sends > 0 {
            return;
        }
        let socket = self.udp.sockets.remove(slot as usize);
        debug_assert!(socket.queue.is_empty());
        self.close(socket.fd);
    }
}

/// Receiving.
impl Core {
    pub(super) fn poll_receive_datagram(
        &mut self,
        slot: u32,
        context: &Context<'_>,
    ) -> Poll<io::Result<(Buf, SocketAddr)>> {
        let socket = &mut self.udp.sockets[slot as usize];
        while let Some(id) = self.pool.pop(&mut socket.queue) {
            match open(self.pool.wrap(id), &self.udp.request) {
                Ok(datagram) => return Poll::Ready(Ok(datagram)),
                Err(Unfit::Truncated) => socket.counts.truncated += 1,
                Err(Unfit::Unreadable) => socket.counts.dropped += 1,
            }
        }
        if let Some(errno) = socket.receive_error.take().or_else(|| socket.send_error.take()) {
            return Poll::Ready(Err(io::Error::from_raw_os_error(errno)));
        }
        socket.receiver.wait(context);
        if socket.receive == ReceiveState::Idle {
            self.arm_datagrams(slot);
        }
        Poll::Pending
    }

    fn arm_datagrams(&mut self, slot: u32) {
        let socket = &mut self.udp.sockets[slot as usize];
        socket.receive = ReceiveState::Armed;
        let entry = opcode::RecvMsgMulti::new(types::Fd(socket.fd), &raw const *self.udp.request, BUFFER_GROUP);
        let user_data = token::encode(Kind::Datagram, socket.generation, slot);
        self.push(entry.build().user_data(user_data));
    }

    pub(super) fn complete_datagram(&mut self, slot: u32, result: i32, flags: u32) {
        let socket = &mut self.udp.sockets[slot as usize];
        if !cqueue::more(flags) {
            socket.receive = ReceiveState::Idle;
        }
        if let Some(id) = cqueue::buffer_select(flags) {
            self.pool.received(id, usize::try_from(result).unwrap_or(0));
            keep_or_drop(&self.pool, socket, id);
        }
        match -result {
            libc::ENOBUFS => return self.starve_udp(slot),
            // Ours: paused or released. What was paused is armed again by the next poll.
            libc::ECANCELED => {}
            errno if errno > 0 => socket.receive_error = Some(errno),
            _ if socket.receive == ReceiveState::Armed && socket.queue.len() >= queue_max(&self.pool) => {
                socket.receive = ReceiveState::Cancelling;
                let generation = socket.generation;
                socket.receiver.wake();
                return self.cancel(Kind::Datagram, generation, slot);
            }
            _ => {}
        }
        socket.receiver.wake();
        self.finish_udp(slot);
    }

    #[cold]
    fn starve_udp(&mut self, slot: u32) {
        self.pool.note_ran_out();
        let socket = &mut self.udp.sockets[slot as usize];
        if socket.released {
            return self.finish_udp(slot);
        }
        // Its reader has not taken what is there: the poll after the last of it arms again.
        if !socket.queue.is_empty() {
            return socket.receiver.wake();
        }
        socket.receive = ReceiveState::Starved;
        self.udp.starved.push_back((slot, socket.generation));
    }

    /// Receives that ended for want of a buffer begin again, as many as there are buffers.
    pub(super) fn feed_starved_udp(&mut self) {
        if self.udp.starved.is_empty() || !self.pool.refill() {
            return;
        }
        for _ in 0..self.pool.counts().provided {
            let Some((slot, generation)) = self.udp.starved.pop_front() else { return };
            let waits = self.udp.sockets.get(slot as usize).is_some_and(|socket| {
                socket.generation == generation && socket.receive == ReceiveState::Starved && !socket.released
            });
            if waits {
                self.arm_datagrams(slot);
            }
        }
    }
}

/// Sending.
impl Core {
    /// Queues `buf`, or waits while too much is on its way. A short pool does not lower that number: the caller holds the
    /// buffer either way, and gets rid of it sooner by sending it.
    pub(super) fn poll_send_datagram(
        &mut self,
        slot: u32,
        buf: &mut Option<Buf>,
        target: Option<SocketAddr>,
        context: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = &mut self.udp.sockets[slot as usize];
        if let Some(errno) = socket.send_error.take() {
            return Poll::Ready(Err(io::Error::from_raw_os_error(errno)));
        }
        if socket.sends >= DATAGRAMS_IN_FLIGHT_MAX {
            socket.wait_to_send(context);
            return Poll::Pending;
        }
        if let Some(buf) = buf.take() {
            socket.sends += 1;
            self.start_send_datagram(slot, buf, target);
        }
        Poll::Ready(Ok(()))
    }

    fn start_send_datagram(&mut self, slot: u32, buf: Buf, target: Option<SocketAddr>) {
        let fd = types::Fd(self.udp.fd_of(slot));
        let name = target.map(|address| self.udp.box_name(address));
        let mut entry = opcode::Send::new(fd, buf.as_ptr(), u32::try_from(buf.len()).unwrap_or(u32::MAX));
        if let Some(name) = &name {
            entry = entry.dest_addr(name.as_ptr()).dest_addr_len(name.len());
        }
        let generation = self.next_generation();
        let index = as_slot(self.udp.outgoing.insert(Outgoing { generation, socket: slot, buf, name }));
        self.push(entry.build().user_data(token::encode(Kind::Outgoing, generation, index)));
    }

    pub(super) fn complete_outgoing(&mut self, index: u32, result: i32) {
        let outgoing = self.udp.outgoing.remove(index as usize);
        self.udp.keep_name(outgoing.name);
        drop(outgoing.buf);
        let socket = &mut self.udp.sockets[outgoing.socket as usize];
        socket.sends -= 1;
        socket.senders.drain(..).for_each(Waker::wake);
        if result >= 0 {
            socket.counts.sent += 1;
        } else {
            socket.counts.send_errors += 1;
            socket.send_error.get_or_insert(-result);
            socket.receiver.wake();
        }
        self.finish_udp(outgoing.socket);
    }
}

fn queue_max(pool: &Pool) -> usize {
    if pool.is_short() { DATAGRAM_QUEUE_SHORT } else { DATAGRAM_QUEUE_MAX }
}

/// A datagram has come, in buffer `id`.
fn keep_or_drop(pool: &Pool, socket: &mut UdpSlot, id: u16) {
    if socket.released {
        return pool.give_back(id);
    }
    if pool.is_short() && socket.queue.len() >= DATAGRAM_QUEUE_SHORT {
        socket.counts.dropped += 1;
        return pool.give_back(id);
    }
    pool.push(&mut socket.queue, id);
}

/// Cuts header and address off.
fn open(mut buf: Buf, request: &libc::msghdr) -> Result<(Buf, SocketAddr), Unfit> {
    let received = types::RecvMsgOut::parse(&buf, request).map_err(|()| Unfit::Unreadable)?;
    if received.is_payload_truncated() {
        return Err(Unfit::Truncated);
    }
    let sender = Name::read(received.name_data()).ok_or(Unfit::Unreadable)?;
    let payload_bytes = received.payload_data().len();
    let payload_start = buf.len() - payload_bytes;
    buf.advance(payload_start);
    Ok((buf, sender))
}
