//! The driver: one task a shard that submits what is queued, reaps what completed, wakes who waits, and is the only place
//! where the shard sleeps.
//!
//!     turn:  enter(submit, wait) --> reap --> timers --> yield: the woken tasks run and queue their next operations --.
//!              ^-------------------------------------------------------------------------------------------------'
//!
//! One system call a turn, and one more for every `SUBMIT_AT` operations that the tasks queue. By the time the driver's turn
//! comes again every task it woke has run, so it may block at once, unless a task made another one runnable (`Ring::spawn`,
//! `Ring::note_runnable`): then it only looks. It blocks for one tick at most. glommio runs the tasks and nothing else: its
//! rings, timers and sleep are never reached while the driver is always runnable (`executor.rs` says why that is wanted);
//! deadlines are `Ring::sleep`'s.
//!
//! `DEFER_TASKRUN`: the kernel's side of our operations runs inside `enter`, on this thread, never in the middle of a task.
//! Always: `Core` is borrowed by the driver during a turn and by a poll for its own length, never across an await.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use io_uring::{IoUring, opcode, squeue, types};
use quanta::Instant;
use slab::Slab;

use super::alarm::Alarms;
use super::buffers::{BUFFERS_MAX, Pool, PoolCounts, ProvidedRing, RING_ENTRIES};
use super::datagrams::Udp;
use super::event::EventSlot;
use super::listener::ListenerSlot;
use super::memory::Mapping;
use super::socket::Socket;
use super::timer::{TICK, Timers};
use super::token::{self, Kind};

/// One shard's ring. Cheap to clone; lives on the shard's thread.
#[derive(Clone)]
pub struct Ring {
    pub(super) shared: Rc<Shared>,
}

pub(super) struct Shared {
    pub(super) core: RefCell<Core>,
    now: Cell<Instant>,
    runnable: Cell<bool>,
    stopped: Cell<bool>,
    // Last: unmapped after the ring in `core` is closed.
    pub(super) pool: Rc<Pool>,
}

pub(super) struct Core {
    uring: IoUring,
    /// Index under which the kernel knows `uring` (`IORING_REGISTER_RING_FDS`): saves a descriptor look-up an enter.
    registered: u32,
    pub(super) pool: Rc<Pool>,
    pub(super) sockets: Slab<Socket>,
    /// Of these, those whose handle is gone.
    pub(super) released: usize,
    pub(super) udp: Udp,
    pub(super) listeners: Slab<ListenerSlot>,
    pub(super) events: Slab<EventSlot>,
    pub(super) timers: Timers,
    pub(super) alarms: Alarms,
    /// Sockets whose receive ended because no buffer was left: slot and generation.
    pub(super) starved: VecDeque<(u32, u32)>,
    /// Operations that did not fit into the submission queue, in order.
    overflow: VecDeque<squeue::Entry>,
    /// Whether descriptors are registered at all (`REGISTER_KERNEL_MIN`).
    registers: bool,
    /// `fixed[fd] == fd`: what the kernel reads when a descriptor is registered under its own number.
    fixed: Mapping,
    fixed_len: usize,
    generation: u32,
    /// Operations queued since the last submission.
    queued: u32,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    turns: u64,
    submitted: u64,
    completed: u64,
    strays: u64,
    housekeeping_failures: u64,
}

/// What a ring holds and has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RingCounts {
    /// Sockets, TCP and UDP, with those that wait for their last completion.
    pub sockets: usize,
    /// Listeners, likewise.
    pub listeners: usize,
    /// Operations whose last completion is still to come.
    pub in_flight: usize,
    /// Deadlines set.
    pub timers: usize,
    /// Buffers.
    pub buffers: PoolCounts,
    /// Turns of the driver.
    pub turns: u64,
    /// Operations submitted.
    pub submitted: u64,
    /// Completions reaped.
    pub completed: u64,
    /// Completions for a slot that was no longer theirs. Always 0; anything else is a bug.
    pub strays: u64,
    /// Registrations, closes and cancels that failed. Always 0; anything else is a bug.
    pub housekeeping_failures: u64,
}

/// Entries of the submission queue. When a turn queues more, they are submitted early.
const SUBMISSIONS: u32 = 1024;
/// Entries of the completion queue. When more complete at once the kernel keeps them aside (`IORING_FEAT_NODROP`).
const COMPLETIONS: u32 = 8 * SUBMISSIONS;
/// So many queued operations are submitted at once, before the turn ends: the first ones need not wait for the tasks of the
/// others, and bytes just received leave while they are in the cache. A system call for 16 operations does not show.
const SUBMIT_AT: u32 = 16;
/// Completions handled in a turn before tasks get to run.
const REAP_MAX: usize = 1024;
const REAP_BATCH: usize = 64;
/// The only buffer group.
pub(super) const BUFFER_GROUP: u16 = 0;
/// Before, as we read the kernel's history (not tested), a registered file that was given up stayed open until every older
/// operation of the ring had completed: behind an idle receive, a closed connection would send its end late.
const REGISTER_KERNEL_MIN: (u32, u32) = (6, 13);
/// A registered slot is emptied by registering this.
static NO_FD: RawFd = -1;

impl Ring {
    /// Sets the ring up on the calling thread, which must be the one that drives it.
    ///
    /// # Errors
    /// What the kernel answers; `check::explain` says what to do about it.
    pub fn new() -> io::Result<Self> {
        Self::with_buffers_max(BUFFERS_MAX)
    }

    /// As `new`, with at most so many buffers, rounded up to whole chunks.
    ///
    /// # Errors
    /// As `new`.
    pub fn with_buffers_max(buffers_max: usize) -> io::Result<Self> {
        let mut uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let (_, fixed_len) = super::check::descriptor_limit()?;
        let fixed_len = fixed_len.min(FIXED_FILES_MAX);
        uring.submitter().register_files_sparse(u32::try_from(fixed_len).unwrap_or(u32::MAX))?;
        let provided = ProvidedRing::new()?;
        // SAFETY: the address is that of a page-aligned mapping of RING_ENTRIES entries. `pool` owns it from the next line
        // on, and `Core` declares `uring` ahead of `pool`, so the ring is closed before the mapping goes.
        unsafe {
            uring.submitter().register_buf_ring_with_flags(provided.address(), RING_ENTRIES, BUFFER_GROUP, 0)?;
        };
        let pool = Pool::attached(provided, buffers_max);
        let registered = register_ring_fd(&mut uring)?;
        let now = Instant::now();
        let core = Core {
            uring,
            registered,
            pool: Rc::clone(&pool),
            sockets: Slab::new(),
            released: 0,
            udp: Udp::new(),
            listeners: Slab::new(),
            events: Slab::new(),
            timers: Timers::new(now),
            alarms: Alarms::default(),
            starved: VecDeque::new(),
            overflow: VecDeque::new(),
            registers: super::check::kernel_is_at_least(REGISTER_KERNEL_MIN),
            fixed: Mapping::anonymous(fixed_len * size_of::<RawFd>())?,
            fixed_len,
            generation: 0,
            queued: 0,
            counts: Counts::default(),
        };
        let shared = Shared {
            core: RefCell::new(core),
            now: Cell::new(now),
            runnable: Cell::new(true),
            stopped: Cell::new(false),
            pool,
        };
        Ok(Ring { shared: Rc::new(shared) })
    }

    /// Starts the driver beside everything else on this executor. Once, before anything else awaits the ring.
    pub fn spawn_driver(&self) {
        glommio::spawn_local(self.clone().drive()).detach();
    }

    async fn drive(self) {
        while !self.shared.stopped.get() {
            self.turn();
            yield_once().await;
        }
    }

    /// Ends the driver after its turn: nothing is submitted or woken any more.
    pub(super) fn stop_driver(&self) {
        self.shared.stopped.set(true);
    }

    /// Submit, reap, fire timers: wakes tasks, runs none.
    fn turn(&self) {
        let may_block = !self.shared.runnable.replace(false);
        let mut core = self.shared.core.borrow_mut();
        core.counts.turns += 1;
        core.feed_starved();
        core.feed_starved_udp();
        core.drain_overflow();
        let may_block = may_block && core.overflow.is_empty();
        let wait = may_block.then(|| core.alarms.limit(TICK));
        core.queued = 0;
        core.enter(wait);
        let now = Instant::now();
        self.shared.now.set(now);
        core.reap();
        core.timers.fire(now);
        core.alarms.fire(now);
        core.pool.adapt();
    }

    /// Time as of this turn: what deadlines and idle times are measured with.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.shared.now.get()
    }

    /// The shard's buffers.
    #[must_use]
    pub fn pool(&self) -> &Rc<Pool> {
        &self.shared.pool
    }

    /// Runs `task` on this shard.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.note_runnable();
        glommio::spawn_local(task).detach();
    }

    /// A task woke another one without the ring's help: the driver must not block before that one has run.
    pub fn note_runnable(&self) {
        self.shared.runnable.set(true);
    }

    /// TCP sockets that somebody holds: those that were dropped have their descriptor for a turn or two yet, until their last
    /// completion. UDP sockets count until then.
    #[must_use]
    pub fn open_sockets(&self) -> usize {
        let core = self.shared.core.borrow();
        core.sockets.len() - core.released + core.udp.sockets.len()
    }

    /// What the ring holds and has done.
    #[must_use]
    pub fn counts(&self) -> RingCounts {
        let core = self.shared.core.borrow();
        RingCounts {
            sockets: core.sockets.len() + core.udp.sockets.len(),
            listeners: core.listeners.len(),
            in_flight: core.in_flight(),
            timers: core.timers.len() + core.alarms.len(),
            buffers: core.pool.counts(),
            turns: core.counts.turns,
            submitted: core.counts.submitted,
            completed: core.counts.completed,
            strays: core.counts.strays,
            housekeeping_failures: core.counts.housekeeping_failures,
        }
    }
}

impl Core {
    /// Queues an operation. What its submission points to must stay in place until its last completion; each caller says
    /// in whose keeping that is.
    pub(super) fn push(&mut self, entry: squeue::Entry) {
        self.counts.submitted += 1;
        if !self.overflow.is_empty() || !self.try_push(&entry) {
            self.overflow.push_back(entry);
        }
        self.queued += 1;
        if self.queued == SUBMIT_AT {
            self.submit_early();
        }
    }

    fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: every pointer in an entry made in this module tree leads into a provided buffer (leased by the socket's
        // send queue or held by the `Outgoing` that `user_data` names), a box owned by the slot that `user_data` names,
        // `udp.request`, `fixed` or `NO_FD`. Slots are freed by `finish_*` only, once `in_flight` is 0, and an `Outgoing` by
        // its only completion, whether or not the future that began the operation still exists; the last three live as
        // long as the ring.
        if unsafe { self.uring.submission().push(entry) }.is_ok() {
            return true;
        }
        self.submit_early();
        // SAFETY: as above.
        unsafe { self.uring.submission().push(entry) }.is_ok()
    }

    fn submit_early(&mut self) {
        self.queued = 0;
        // An error leaves the queue as it was: the entry goes to `overflow` and the next turn tries again.
        let _ = self.uring.submitter().submit();
    }

    fn drain_overflow(&mut self) {
        while let Some(entry) = self.overflow.pop_front() {
            if !self.try_push(&entry) {
                self.overflow.push_front(entry);
                return;
            }
        }
    }

    pub(super) fn next_generation(&mut self) -> u32 {
        self.generation = (self.generation + 1) & token::GENERATION_MASK;
        self.generation
    }

    pub(super) fn can_register(&self, fd: RawFd) -> bool {
        self.registers && usize::try_from(fd).is_ok_and(|index| index < self.fixed_len)
    }

    /// Registers `fd` under its own number, ahead of every operation queued after this.
    pub(super) fn register(&mut self, fd: RawFd) {
        let index = usize::try_from(fd).unwrap_or(usize::MAX);
        assert!(index < self.fixed_len, "asked for by whoever looked at `can_register`");
        let cells: *mut RawFd = self.fixed.start().cast().as_ptr();
        let cell = cells.wrapping_add(index);
        // SAFETY: `index < fixed_len`, so the cell lies in the mapping, which is page aligned. The kernel reads it while the update
        // below is submitted, and it only ever holds this one value.
        unsafe { cell.write(fd) };
        self.push(update_files(cell, fd));
    }

    pub(super) fn unregister(&mut self, fd: RawFd) {
        self.push(update_files(&raw const NO_FD, fd));
    }

    pub(super) fn close(&mut self, fd: RawFd) {
        self.push(silent(opcode::Close::new(types::Fd(fd)).build()));
    }

    pub(super) fn cancel(&mut self, kind: Kind, generation: u32, slot: u32) {
        self.push(silent(opcode::AsyncCancel::new(token::encode(kind, generation, slot)).build()));
    }

    /// Cancels every operation of a descriptor.
    pub(super) fn cancel_all(&mut self, fd: RawFd) {
        let operations = types::CancelBuilder::fd(types::Fd(fd)).all();
        self.push(silent(opcode::AsyncCancel2::new(operations).build()));
    }

    /// Submits, and with `wait` blocks until something completes or the time is over.
    fn enter(&mut self, wait: Option<Duration>) {
        const GETEVENTS: libc::c_uint = 1;
        const EXT_ARG: libc::c_uint = 1 << 3;
        const REGISTERED_RING: libc::c_uint = 1 << 4;
        let queued = self.uring.submission().len();
        let timeout = types::Timespec::from(wait.unwrap_or_default());
        let argument = EnterArgument { timeout: &raw const timeout as u64, ..EnterArgument::default() };
        // SAFETY: `registered` names `uring`; `argument` and `timeout` outlive the call, which reads them; what the queued
        // entries point to is covered in `try_push`.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.registered,
                queued,
                libc::c_uint::from(wait.is_some()),
                GETEVENTS | EXT_ARG | REGISTERED_RING,
                &raw const argument,
                size_of::<EnterArgument>(),
            )
        };
        if result >= 0 {
            return;
        }
        match io::Error::last_os_error().raw_os_error() {
            // Time over; a signal; completions to be reaped first; no memory right now: the next turn tries again.
            Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN | libc::ENOMEM) => {}
            error => {
                panic!("io_uring_enter: errno {error:?}: the ring is lost, and with it every connection of this shard")
            }
        }
    }

    fn reap(&mut self) {
        let mut handled = 0;
        while handled < REAP_MAX {
            let mut batch = [(0, 0, 0); REAP_BATCH];
            let mut count = 0;
            for entry in self.uring.completion().by_ref().take(REAP_BATCH) {
                batch[count] = (entry.user_data(), entry.result(), entry.flags());
                count += 1;
            }
            if count == 0 {
                break;
            }
            for &(user_data, result, flags) in &batch[..count] {
                self.complete(user_data, result, flags);
            }
            handled += count;
        }
        self.counts.completed += handled as u64;
    }

    fn complete(&mut self, user_data: u64, result: i32, flags: u32) {
        let (kind, generation, slot) = token::decode(user_data);
        let index = slot as usize;
        let known = match kind {
            Some(Kind::Receive | Kind::Send | Kind::Connect | Kind::Watch) => {
                self.sockets.get(index).is_some_and(|socket| socket.generation == generation)
            }
            Some(Kind::Accept) => self.listeners.get(index).is_some_and(|l| l.generation == generation),
            Some(Kind::Event) => self.events.get(index).is_some_and(|event| event.generation == generation),
            Some(kind @ (Kind::Datagram | Kind::Outgoing)) => self.udp.knows(kind, generation, index),
            Some(Kind::Silent) => return self.complete_silent(result),
            None => false,
        };
        if !known {
            return self.complete_stray(kind, result, flags);
        }
        match kind {
            Some(Kind::Receive) => self.complete_receive(slot, result, flags),
            Some(Kind::Send) => self.complete_send(slot, result),
            Some(Kind::Connect) => self.complete_connect(slot, result),
            Some(Kind::Watch) => self.complete_watch(slot, result),
            Some(Kind::Accept) => self.complete_accept(slot, result, flags),
            Some(Kind::Datagram) => self.complete_datagram(slot, result, flags),
            Some(Kind::Outgoing) => self.complete_outgoing(slot, result),
            _ => self.complete_event(slot, result),
        }
    }

    /// A registration, cancel or close that did not succeed. A cancel that comes too late is no failure.
    #[cold]
    fn complete_silent(&mut self, result: i32) {
        if !matches!(-result, libc::ENOENT | libc::EALREADY) {
            self.counts.housekeeping_failures += 1;
        }
    }

    /// Nobody is there to take what came: a buffer goes back, an accepted socket is closed.
    #[cold]
    fn complete_stray(&mut self, kind: Option<Kind>, result: i32, flags: u32) {
        self.counts.strays += 1;
        if let Some(id) = io_uring::cqueue::buffer_select(flags) {
            self.pool.received(id, 0);
            self.pool.give_back(id);
        }
        if kind == Some(Kind::Accept) && result >= 0 {
            drop(adopt(result));
        }
    }

    fn in_flight(&self) -> usize {
        self.sockets.iter().map(|(_, socket)| usize::from(socket.in_flight)).sum::<usize>()
            + self.listeners.iter().filter(|(_, listener)| listener.armed).count()
            + self.udp.in_flight()
            + self.events.iter().filter(|(_, event)| event.armed).count()
    }
}

impl Drop for Core {
    /// Every handle is gone by now. What is still in flight is cancelled and awaited, as the kernel may write to our
    /// memory until it has completed.
    fn drop(&mut self) {
        let slots: Vec<u32> = self.events.iter().filter_map(|(index, _)| u32::try_from(index).ok()).collect();
        for slot in slots {
            self.release_event(slot);
        }
        for _ in 0..100 {
            self.drain_overflow();
            self.enter((self.in_flight() > 0).then_some(TICK));
            self.reap();
            if self.in_flight() == 0 && self.overflow.is_empty() {
                // The closes that the last completions queued.
                return self.enter(None);
            }
        }
        tracing::error!(in_flight = self.in_flight(), "ring: operations did not complete; their memory is left alone");
        std::mem::forget(Rc::clone(&self.pool));
    }
}

/// `struct io_uring_getevents_arg` of the kernel.
#[repr(C)]
#[derive(Default)]
struct EnterArgument {
    sigmask: u64,
    sigmask_bytes: u32,
    min_wait_us: u32,
    timeout: u64,
}

/// Most registered files that the kernel accepts (`IORING_MAX_FIXED_FILES`).
const FIXED_FILES_MAX: usize = 1 << 20;

fn update_files(value: *const RawFd, index: RawFd) -> squeue::Entry {
    silent(opcode::FilesUpdate::new(value, 1).offset(index).build())
}

fn silent(entry: squeue::Entry) -> squeue::Entry {
    entry.user_data(token::encode(Kind::Silent, 0, 0)).flags(squeue::Flags::SKIP_SUCCESS)
}

fn register_ring_fd(uring: &mut IoUring) -> io::Result<u32> {
    const REGISTER_RING_FDS: libc::c_uint = 20;
    #[repr(C)]
    struct Update {
        offset: u32,
        reserved: u32,
        data: u64,
    }
    let fd = uring.as_raw_fd();
    let mut update = Update { offset: u32::MAX, reserved: 0, data: u64::try_from(fd).unwrap_or_default() };
    // SAFETY: the kernel reads and writes one `Update`, which outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_register, fd, REGISTER_RING_FDS, &raw mut update, 1) };
    if result == 1 { Ok(update.offset) } else { Err(io::Error::last_os_error()) }
}

/// Lets every task that is ready run once.
async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A descriptor that a completion handed over.
pub(super) fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel made `fd` for us (accept) and nobody else has its number.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A slab's index as `user_data` holds it. Each slot has a descriptor, of which there are far fewer than 2^32.
pub(super) fn as_slot(index: usize) -> u32 {
    u32::try_from(index).expect("fewer slots than descriptors")
}
