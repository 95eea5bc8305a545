//! The table of connections, and what each completion does to it.
//!
//!     Free --accept--> Open --a side ended--> Closing --last operation--> Free
//!                       ^ `--http: the client ended between two exchanges--> Parting --its last operation--> Idle --target ended--> Closing
//!                       `-------------------------------------accept, no connect---------------------------------'
//!
//! In HTTP the target's connection outlives its client where nothing is under way, and is the next one's.
//! Always: a slot is free only when no operation names it, and idle only when none but the target's receive does, so `user_data`
//! needs no generation.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use io_uring::cqueue::{buffer_select, more};
use io_uring::types::{CancelBuilder, Fd, Fixed};
use io_uring::{SubmissionQueue, Submitter, opcode, squeue};
use socket2::SockAddr;

use crate::args::{Args, Protocol};
use crate::buffers::{self, BUFFER_GROUP, Buffers};
use crate::exchange::{CLIENT, Exchange, TARGET};
use crate::head::Lines;
use crate::sockets::target_socket;

/// Where the bytes of one side go: received from one socket of the connection, sent to the other.
#[derive(Clone, Copy, Default)]
struct Flow {
    /// The sender ended: close when all it sent is delivered.
    ended: bool,
    /// Buffers to send, oldest first; the oldest is with the kernel. One at a time, so that bytes stay in order.
    queue: buffers::Queue,
}

/// Two sockets: fixed file and flow `2 * slot` are the client's, `2 * slot + 1` the target's.
#[derive(Clone, Copy, Default)]
struct Connection {
    flows: [Flow; 2],
    /// Operations on either socket whose last completion has not come.
    operations: [u32; 2],
    stage: Stage,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Free,
    Open,
    /// The client's operations come to their ends.
    Parting,
    /// Free, and a target is connected.
    Idle,
    /// All operations come to their ends.
    Closing,
}

impl Stage {
    /// What this side sends is still waited for.
    fn receives(self, side: usize) -> bool {
        match self {
            Self::Open => true,
            Self::Parting | Self::Idle => side == TARGET,
            Self::Free | Self::Closing => false,
        }
    }
}

pub struct Relay<'ring> {
    submitter: Submitter<'ring>,
    submissions: SubmissionQueue<'ring>,
    buffers: Buffers,
    connections: Vec<Connection>,
    /// In HTTP, of each connection.
    exchanges: Vec<Exchange>,
    free: Vec<u32>,
    /// Flows whose receive ended for want of a buffer.
    starved: Vec<u32>,
    listener_fd: RawFd,
    port: u16,
    target: SockAddr,
    protocol: Protocol,
}

impl<'ring> Relay<'ring> {
    pub fn new(
        submitter: Submitter<'ring>,
        submissions: SubmissionQueue<'ring>,
        buffers: Buffers,
        listener: &TcpListener,
        args: &Args,
    ) -> Self {
        let exchanges = match args.protocol {
            Protocol::Tcp => Vec::new(),
            Protocol::Http => vec![Exchange::new(Lines::new(args.listen.ip(), 0)); CONNECTIONS_MAX as usize],
        };
        Self {
            submitter,
            submissions,
            buffers,
            exchanges,
            connections: vec![Connection::default(); CONNECTIONS_MAX as usize],
            free: (0..CONNECTIONS_MAX).rev().collect(),
            starved: Vec::new(),
            listener_fd: listener.as_raw_fd(),
            port: args.listen.port(),
            target: args.target.into(),
            protocol: args.protocol,
        }
    }

    /// Submits everything and sleeps until there is a completion.
    pub fn turn(&mut self) -> io::Result<()> {
        if !self.starved.is_empty() {
            self.feed();
        }
        self.buffers.publish();
        self.submissions.sync();
        match self.submitter.submit_and_wait(1) {
            Err(error) if error.raw_os_error() != Some(libc::EINTR) => Err(error),
            _ => {
                self.submissions.sync();
                Ok(())
            }
        }
    }

    #[inline]
    pub fn complete(&mut self, user_data: u64, result: i32, flags: u32) {
        let (kind, buffer, flow) = unpack(user_data);
        match kind {
            RECV => self.received(flow, result, flags),
            SEND => self.sent(flow, buffer, result),
            ACCEPT => self.accepted(result, flags),
            CONNECT => self.connected(flow, result),
            _ => self.cancelled(flow),
        }
    }

    #[inline]
    fn received(&mut self, flow: u32, result: i32, flags: u32) {
        let armed = more(flags);
        let connection = &mut self.connections[slot(flow)];
        if !armed {
            connection.operations[side(flow)] -= 1;
        }
        if let Some(buffer) = buffer_select(flags) {
            self.buffers.taken();
            if connection.stage != Stage::Open || result <= 0 {
                self.buffers.give_back(buffer);
                return self.end(flow);
            }
            let (mut start, bytes) = (self.buffers.headroom(), result.unsigned_abs());
            let end = start + bytes;
            if self.protocol == Protocol::Http {
                let room = self.buffers.filled(buffer, bytes);
                let Some(rewritten) = self.exchanges[slot(flow)].take(side(flow), room, start as usize) else {
                    self.buffers.give_back(buffer);
                    return self.end(flow);
                };
                #[allow(clippy::cast_possible_truncation, reason = "within a buffer")]
                let rewritten = rewritten as u32;
                start = rewritten;
            }
            if self.buffers.enqueue(&mut connection.flows[side(flow)].queue, buffer, start, end) {
                self.send(flow, buffer);
            }
            if !armed && !self.is_last(flow) {
                self.receive(flow);
            }
            return;
        }
        if result == -libc::ENOBUFS {
            return self.starve(flow);
        }
        self.end(flow);
    }

    #[inline]
    fn sent(&mut self, flow: u32, buffer: u16, result: i32) {
        let connection = &mut self.connections[slot(flow)];
        connection.operations[side(flow ^ 1)] -= 1;
        if connection.stage != Stage::Open || result < 0 {
            return self.failed(flow);
        }
        if self.buffers.advance(buffer, result.unsigned_abs()) {
            return self.send(flow, buffer);
        }
        let Flow { queue, ended } = &mut connection.flows[side(flow)];
        match self.buffers.dequeue(queue) {
            Some(next) => self.send(flow, next),
            None if *ended => self.end(flow),
            None if self.protocol == Protocol::Http && side(flow) == TARGET && self.exchanges[slot(flow)].is_over() => {
                self.part(flow);
            }
            None => {}
        }
    }

    /// Nothing of this flow can be delivered any more, and none of its buffers is with the kernel.
    #[cold]
    fn failed(&mut self, flow: u32) {
        let queue = &mut self.connections[slot(flow)].flows[side(flow)].queue;
        while self.buffers.dequeue(queue).is_some() {}
        self.end(flow);
    }

    #[inline]
    fn send(&mut self, flow: u32, buffer: u16) {
        self.connections[slot(flow)].operations[side(flow ^ 1)] += 1;
        let (address, bytes) = self.buffers.unsent(buffer);
        let entry = opcode::Send::new(Fixed(flow ^ 1), address, bytes).flags(libc::MSG_WAITALL).build();
        self.push(entry.user_data(pack(SEND, buffer, flow)));
    }

    /// Nothing more is to come from this client: its request was whole, and it wants no other.
    fn is_last(&self, flow: u32) -> bool {
        self.protocol == Protocol::Http && side(flow) == CLIENT && self.exchanges[slot(flow)].is_asked_last()
    }

    /// One receive, so that a client of one request leaves none behind to be cancelled. `received` arms the next ones.
    #[cold]
    fn receive_once(&mut self, flow: u32) {
        self.connections[slot(flow)].operations[side(flow)] += 1;
        let entry = opcode::Recv::new(Fixed(flow), std::ptr::null_mut(), 0).buf_group(BUFFER_GROUP).build();
        self.push(entry.flags(squeue::Flags::BUFFER_SELECT).user_data(pack(RECV, 0, flow)));
    }

    fn receive(&mut self, flow: u32) {
        let connection = &mut self.connections[slot(flow)];
        connection.operations[side(flow)] += 1;
        let entry = opcode::RecvMulti::new(Fixed(flow), BUFFER_GROUP).build();
        self.push(entry.user_data(pack(RECV, 0, flow)));
    }

    #[cold]
    fn starve(&mut self, flow: u32) {
        if self.connections[slot(flow)].stage.receives(side(flow)) {
            self.starved.push(flow);
        } else {
            self.settle(flow);
        }
    }

    /// Arms the receives that found no buffer, as far as there are buffers now.
    #[cold]
    fn feed(&mut self) {
        for _ in 0..self.buffers.available().min(self.starved.len()) {
            let flow = self.starved.swap_remove(0);
            if self.connections[slot(flow)].stage.receives(side(flow)) {
                self.receive(flow);
            }
        }
    }

    #[cold]
    pub fn accept(&mut self) {
        let entry = opcode::AcceptMulti::new(Fd(self.listener_fd)).flags(libc::SOCK_CLOEXEC).build();
        self.push(entry.user_data(pack(ACCEPT, 0, 0)));
    }

    /// Moves both sockets to the fixed files of a free slot, or the client's to those of an idle one; the plain descriptors are
    /// closed at once.
    #[cold]
    fn accepted(&mut self, result: i32, flags: u32) {
        if !more(flags) {
            self.accept();
        }
        if result < 0 {
            return;
        }
        // SAFETY: a completed accept hands this descriptor to us, and each completion is read once: nobody else owns it.
        let client = TcpStream::from(unsafe { OwnedFd::from_raw_fd(result) });
        let Some(slot) = self.free.pop() else { return };
        if let Err(error) = self.open(slot, &client) {
            eprintln!("weir-floor: a connection: {error}");
            self.free.push(slot);
        }
    }

    #[cold]
    fn open(&mut self, slot: u32, client: &TcpStream) -> io::Result<()> {
        let connection = &mut self.connections[slot as usize];
        if self.protocol == Protocol::Http {
            // One that is gone already has no address, and its end is noticed soon.
            let address = client.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.ip());
            self.exchanges[slot as usize] = Exchange::new(Lines::new(address, self.port));
        }
        if connection.stage == Stage::Idle {
            self.submitter.register_files_update(2 * slot, &[client.as_raw_fd()])?;
            connection.stage = Stage::Open;
            self.receive_once(2 * slot);
            return Ok(());
        }
        let target = target_socket(self.target.domain())?;
        self.submitter.register_files_update(2 * slot, &[client.as_raw_fd(), target.as_raw_fd()])?;
        *connection = Connection { operations: [0, 1], stage: Stage::Open, ..Connection::default() };
        let entry = opcode::Connect::new(Fixed(2 * slot + 1), self.target.as_ptr().cast(), self.target.len()).build();
        self.push(entry.user_data(pack(CONNECT, 0, 2 * slot + 1)));
        Ok(())
    }

    #[cold]
    fn connected(&mut self, flow: u32, result: i32) {
        self.connections[slot(flow)].operations[side(flow)] -= 1;
        if result < 0 {
            return self.end(flow);
        }
        match self.protocol {
            Protocol::Tcp => self.receive(flow ^ 1),
            Protocol::Http => self.receive_once(flow ^ 1),
        }
        self.receive(flow);
    }

    /// One side ended: once the last buffer is delivered, ends the other operations; the last of them closes both sockets.
    /// By cancelling, as a shutdown would go through a thread of the kernel's pool.
    #[cold]
    fn end(&mut self, flow: u32) {
        let connection = &mut self.connections[slot(flow)];
        if !connection.stage.receives(side(flow)) {
            return self.settle(flow);
        }
        if connection.stage == Stage::Idle {
            self.free.retain(|&free| free != flow / 2);
        }
        connection.flows[side(flow)].ended = true;
        if !connection.flows[side(flow)].queue.is_empty() {
            return;
        }
        if self.protocol == Protocol::Http && side(flow) == CLIENT && self.exchanges[slot(flow)].keeps_target() {
            self.exchanges[slot(flow)].end_client();
            // Else `sent` does, when the rest of the answer is out.
            if connection.flows[TARGET].queue.is_empty() {
                self.part(flow);
            }
            return;
        }
        self.close(flow);
    }

    #[cold]
    fn close(&mut self, flow: u32) {
        self.connections[slot(flow)].stage = Stage::Closing;
        self.cancel(flow);
        self.cancel(flow ^ 1);
    }

    /// Lets the client go, and keeps the target for the next one.
    #[cold]
    fn part(&mut self, flow: u32) {
        if !self.exchanges[slot(flow)].keeps_target() {
            return self.close(flow);
        }
        let connection = &mut self.connections[slot(flow)];
        connection.stage = Stage::Parting;
        if connection.operations[CLIENT] > 0 { self.cancel(flow & !1) } else { self.settle(flow) }
    }

    /// All operations on a socket.
    #[cold]
    fn cancel(&mut self, fixed: u32) {
        self.connections[slot(fixed)].operations[side(fixed)] += 1;
        let entry = opcode::AsyncCancel2::new(CancelBuilder::fd(Fixed(fixed)).all()).build();
        self.push(entry.user_data(pack(CANCEL, 0, fixed)));
    }

    #[cold]
    fn cancelled(&mut self, flow: u32) {
        self.connections[slot(flow)].operations[side(flow)] -= 1;
        self.settle(flow);
    }

    /// Frees the slot when the last operation of a closing connection is over, or the last of a parting client.
    #[cold]
    fn settle(&mut self, flow: u32) {
        let connection = &mut self.connections[slot(flow)];
        let closed: &[RawFd] = match (connection.stage, connection.operations) {
            (Stage::Closing, [0, 0]) => &[-1, -1],
            (Stage::Parting, [0, _]) => &[-1],
            _ => return,
        };
        let stage = if connection.stage == Stage::Closing { Stage::Free } else { Stage::Idle };
        connection.stage = stage;
        connection.flows[CLIENT] = Flow::default();
        self.starved.retain(|&starved| slot(starved) != slot(flow) || stage.receives(side(starved)));
        if let Err(error) = self.submitter.register_files_update(flow & !1, closed) {
            eprintln!("weir-floor: fixed files: {error}");
        }
        self.free.push(flow / 2);
    }

    #[inline]
    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: what an entry points at outlives the operation: buffers and the target's address live as long as the ring,
        // and a buffer goes back to the kernel only on the last completion of its send (`sent`).
        while unsafe { self.submissions.push(&entry) }.is_err() {
            self.submissions.sync();
            let _ = self.submitter.submit();
            self.submissions.sync();
        }
    }
}

/// Of the table.
pub const CONNECTIONS_MAX: u32 = 4096;

const RECV: u8 = 0;
const SEND: u8 = 1;
const ACCEPT: u8 = 2;
const CONNECT: u8 = 3;
const CANCEL: u8 = 4;

fn pack(kind: u8, buffer: u16, flow: u32) -> u64 {
    u64::from(kind) << 48 | u64::from(buffer) << 32 | u64::from(flow)
}

#[allow(clippy::cast_possible_truncation, reason = "each field is cut to its own width")]
fn unpack(user_data: u64) -> (u8, u16, u32) {
    ((user_data >> 48) as u8, (user_data >> 32) as u16, user_data as u32)
}

fn slot(flow: u32) -> usize {
    (flow >> 1) as usize
}

fn side(flow: u32) -> usize {
    (flow & 1) as usize
}
