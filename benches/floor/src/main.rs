//! The floor: the fastest TCP relay we know how to write on `io_uring` in one thread, for Weir to be measured against.
//!
//!     CQE(accept) --> slot, connect target --> CQE(connect) --> arm both receives
//!     CQE(recv)   --> send its buffer to the other side --> CQE(send) --> buffer back to the ring
//!
//! It is the floor because nothing is left that a load balancer needs: one listener, one target, no deadlines, no health, no
//! limits, no counters, no executor and no futures; a table of flows and a match on the completion. What remains is the
//! kernel's TCP, one completion a receive, one a send, and one `io_uring_enter` a turn:
//!   - multishot accept and receive, so nothing is armed again while traffic flows;
//!   - fixed files and a registered ring descriptor, so no file is looked up and no reference counted;
//!   - few small buffers, given to the kernel again at once, so that they stay in the cache;
//!   - sends that transfer all or fail (`MSG_WAITALL`), so a short send never comes back to be sent again.
//!
//! Tried: sends that never wait, and a turn that sleeps past their completions. It saves enters, not time (0.97 - 1.03 over three
//! runs: noise).
//!
//! Good enough to bench, not to use: when one side ends, what it sent is delivered and both are closed; a reader that stops
//! reading can hold every buffer.
//!
//! Always: a slot is free only when no operation names it, so `user_data` needs no generation.
//! `weir-floor --listen 127.0.0.1:8000 --target 127.0.0.1:8001 --core 0`

mod buffers;

use std::io;
use std::mem::zeroed;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use io_uring::cqueue::{buffer_select, more};
use io_uring::types::{CancelBuilder, Fd, Fixed};
use io_uring::{IoUring, SubmissionQueue, Submitter, opcode, squeue};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use buffers::{BUFFER_GROUP, Buffers};

fn main() {
    if let Err(error) = Args::parse().and_then(|args| run(&args)) {
        eprintln!("weir-floor: {error}");
        std::process::exit(1);
    }
}

struct Args {
    listen: SocketAddr,
    target: SocketAddr,
    core: usize,
}

impl Args {
    fn parse() -> io::Result<Self> {
        let (mut listen, mut target, mut core) = (None, None, None);
        let mut words = std::env::args().skip(1);
        while let Some(key) = words.next() {
            let value = words.next().ok_or_else(|| usage(&key))?;
            match key.as_str() {
                "--listen" => listen = value.parse().ok(),
                "--target" => target = value.parse().ok(),
                "--core" => core = value.parse().ok(),
                _ => return Err(usage(&key)),
            }
        }
        Ok(Self {
            listen: listen.ok_or_else(|| usage("--listen"))?,
            target: target.ok_or_else(|| usage("--target"))?,
            core: core.ok_or_else(|| usage("--core"))?,
        })
    }
}

fn usage(key: &str) -> io::Error {
    io::Error::other(format!("{key}: usage: weir-floor --listen ADDRESS:PORT --target ADDRESS:PORT --core N"))
}

fn run(args: &Args) -> io::Result<()> {
    pin(args.core)?;
    let listener = listen(args.listen)?;
    let mut ring: IoUring =
        IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_cqsize(COMPLETIONS).build(SUBMISSIONS)?;
    let (mut submitter, submissions, mut completions) = ring.split();
    submitter.register_ring_fd()?;
    submitter.register_files_sparse(2 * CONNECTIONS_MAX)?;
    let buffers = Buffers::register(&submitter)?;
    let mut relay = Relay::new(submitter, submissions, buffers, &listener, args.target);
    relay.accept();
    loop {
        relay.turn()?;
        completions.sync();
        for completion in &mut completions {
            relay.complete(completion.user_data(), completion.result(), completion.flags());
        }
    }
}

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
    /// Operations whose last completion has not come.
    operations: u32,
    closing: bool,
}

struct Relay<'ring> {
    submitter: Submitter<'ring>,
    submissions: SubmissionQueue<'ring>,
    buffers: Buffers,
    connections: Vec<Connection>,
    free: Vec<u32>,
    /// Flows whose receive ended for want of a buffer.
    starved: Vec<u32>,
    listener_fd: RawFd,
    target: SockAddr,
}

impl<'ring> Relay<'ring> {
    fn new(
        submitter: Submitter<'ring>,
        submissions: SubmissionQueue<'ring>,
        buffers: Buffers,
        listener: &TcpListener,
        target: SocketAddr,
    ) -> Self {
        Self {
            submitter,
            submissions,
            buffers,
            connections: vec![Connection::default(); CONNECTIONS_MAX as usize],
            free: (0..CONNECTIONS_MAX).rev().collect(),
            starved: Vec::new(),
            listener_fd: listener.as_raw_fd(),
            target: target.into(),
        }
    }

    /// Submits everything and sleeps until there is a completion.
    fn turn(&mut self) -> io::Result<()> {
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
    fn complete(&mut self, user_data: u64, result: i32, flags: u32) {
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
            connection.operations -= 1;
        }
        if let Some(buffer) = buffer_select(flags) {
            self.buffers.taken();
            if connection.closing || result <= 0 {
                self.buffers.give_back(buffer);
                return self.end(flow);
            }
            if self.buffers.enqueue(&mut connection.flows[side(flow)].queue, buffer, result.unsigned_abs()) {
                self.send(flow, buffer);
            }
            if !armed {
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
        connection.operations -= 1;
        if connection.closing || result < 0 {
            return self.failed(flow);
        }
        if self.buffers.advance(buffer, result.unsigned_abs()) {
            return self.send(flow, buffer);
        }
        let Flow { queue, ended } = &mut connection.flows[side(flow)];
        match self.buffers.dequeue(queue) {
            Some(next) => self.send(flow, next),
            None if *ended => self.end(flow),
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
        self.connections[slot(flow)].operations += 1;
        let (address, bytes) = self.buffers.unsent(buffer);
        let entry = opcode::Send::new(Fixed(flow ^ 1), address, bytes).flags(libc::MSG_WAITALL).build();
        self.push(entry.user_data(pack(SEND, buffer, flow)));
    }

    fn receive(&mut self, flow: u32) {
        let connection = &mut self.connections[slot(flow)];
        connection.operations += 1;
        let entry = opcode::RecvMulti::new(Fixed(flow), BUFFER_GROUP).build();
        self.push(entry.user_data(pack(RECV, 0, flow)));
    }

    #[cold]
    fn starve(&mut self, flow: u32) {
        if self.connections[slot(flow)].closing {
            return self.settle(flow);
        }
        self.starved.push(flow);
    }

    /// Arms the receives that found no buffer, as far as there are buffers now.
    #[cold]
    fn feed(&mut self) {
        for _ in 0..self.buffers.available().min(self.starved.len()) {
            let flow = self.starved.swap_remove(0);
            if !self.connections[slot(flow)].closing {
                self.receive(flow);
            }
        }
    }

    #[cold]
    fn accept(&mut self) {
        let entry = opcode::AcceptMulti::new(Fd(self.listener_fd)).flags(libc::SOCK_CLOEXEC).build();
        self.push(entry.user_data(pack(ACCEPT, 0, 0)));
    }

    /// Moves both sockets to the fixed files of a free slot; the plain descriptors are closed at once.
    #[cold]
    fn accepted(&mut self, result: i32, flags: u32) {
        if !more(flags) {
            self.accept();
        }
        if result < 0 {
            return;
        }
        // SAFETY: a completed accept hands this descriptor to us, and each completion is read once: nobody else owns it.
        let client = unsafe { OwnedFd::from_raw_fd(result) };
        let (Some(slot), Ok(target)) = (self.free.pop(), target_socket(self.target.domain())) else { return };
        if let Err(error) = self.submitter.register_files_update(2 * slot, &[client.as_raw_fd(), target.as_raw_fd()]) {
            eprintln!("weir-floor: fixed files: {error}");
            return self.free.push(slot);
        }
        self.connections[slot as usize] = Connection { operations: 1, ..Connection::default() };
        let entry = opcode::Connect::new(Fixed(2 * slot + 1), self.target.as_ptr().cast(), self.target.len()).build();
        self.push(entry.user_data(pack(CONNECT, 0, 2 * slot)));
    }

    #[cold]
    fn connected(&mut self, flow: u32, result: i32) {
        self.connections[slot(flow)].operations -= 1;
        if result < 0 {
            return self.end(flow);
        }
        self.receive(flow);
        self.receive(flow ^ 1);
    }

    /// One side ended: once the last buffer is delivered, ends the other operations; the last of them closes both sockets.
    /// By cancelling, as a shutdown would go through a thread of the kernel's pool.
    #[cold]
    fn end(&mut self, flow: u32) {
        let connection = &mut self.connections[slot(flow)];
        connection.flows[side(flow)].ended = true;
        let undelivered = !connection.flows[side(flow)].queue.is_empty();
        if connection.closing || undelivered {
            return self.settle(flow);
        }
        connection.closing = true;
        connection.operations += 2;
        for fixed in [flow, flow ^ 1] {
            let entry = opcode::AsyncCancel2::new(CancelBuilder::fd(Fixed(fixed)).all()).build();
            self.push(entry.user_data(pack(CANCEL, 0, fixed)));
        }
    }

    #[cold]
    fn cancelled(&mut self, flow: u32) {
        self.connections[slot(flow)].operations -= 1;
        self.settle(flow);
    }

    /// Frees the slot when the last operation of a closing connection is over.
    #[cold]
    fn settle(&mut self, flow: u32) {
        let connection = &mut self.connections[slot(flow)];
        if !connection.closing || connection.operations > 0 {
            return;
        }
        self.starved.retain(|&starved| slot(starved) != slot(flow));
        if let Err(error) = self.submitter.register_files_update(flow & !1, &[-1, -1]) {
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

/// Accepted sockets inherit `TCP_NODELAY` from the listener.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

fn target_socket(domain: Domain) -> io::Result<OwnedFd> {
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    // SAFETY: `into_raw_fd` gives up the only owner of the descriptor, which we take over in the same expression.
    Ok(unsafe { OwnedFd::from_raw_fd(socket.into_raw_fd()) })
}

fn pin(core: usize) -> io::Result<()> {
    // SAFETY: `cpu_set_t` is a plain bit set, valid when all zero; `CPU_SET` stays inside it (an index beyond is a bounds
    // panic); the kernel reads the set during the call only.
    let result = unsafe {
        let mut set: libc::cpu_set_t = zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const CONNECTIONS_MAX: u32 = 4096;
const SUBMISSIONS: u32 = 1024;
const COMPLETIONS: u32 = 4096;
