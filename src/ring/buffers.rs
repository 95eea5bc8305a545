//! The shard's buffers: memory that the kernel receives into, leased to whoever handles the bytes.
//!
//!     reserve --provide--> kernel --completion--> leased (Buf) --drop--> kernel, or reserve when it has enough
//!        `---------------- take (bytes of our own) ---^
//!
//! The kernel picks a buffer only when bytes arrive (a provided-buffer ring), so an idle connection holds none. Buffers
//! are made in chunks as they are needed, up to `BUFFERS_MAX`; an empty pool pauses receives and drops nothing. Queues of
//! received or unsent buffers are lists through the buffers' own entries: they cost a socket eight bytes each.
//!
//! Always: a buffer has one owner, kernel, reserve or one `Buf`; every hand-over asserts who gives it away.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::memory::Mapping;

/// Bytes of a buffer. A receive is at most this long. nginx's size; 32 KiB looked cheaper for bulk transfers, on a machine too
/// busy to tell (docs/PERFORMANCE.md).
pub const BUFFER_BYTES: usize = 16 * 1024;
/// Most buffers of a shard: 512 MiB, touched only as far as they are used.
pub const BUFFERS_MAX: usize = 32 * 1024;
/// Buffers made at a time: 2 MiB, a huge page where the kernel gives one.
const CHUNK_BUFFERS: usize = 128;
/// Entries of the ring shared with the kernel; a power of two (`io_uring_register_buf_ring`).
pub(super) const RING_ENTRIES: u16 = 1024;
/// Least that the kernel has at hand: half a megabyte, which stays in a core's own cache.
const PROVIDED_MIN: usize = 32;
/// The kernel has what so many of the busiest turns take.
const TURNS_PROVIDED: usize = 4;
/// A busy turn is forgotten after so many: a tenth of a second under load, ten seconds without.
const TURNS_REMEMBERED: u32 = 1024;
/// Reserve buffers that keep their pages; those beyond give them back to the kernel.
const WARM_RESERVE: usize = 512;
const NONE: u16 = u16::MAX;

const _: () = assert!(BUFFERS_MAX < NONE as usize);
const _: () = assert!(BUFFER_BYTES <= u16::MAX as usize + 1);

/// All buffers of one shard.
pub struct Pool {
    chunks: RefCell<Vec<Mapping>>,
    entries: RefCell<Vec<Entry>>,
    reserve: RefCell<Vec<u16>>,
    ring: Option<ProvidedRing>,
    buffers_max: usize,
    /// How many buffers the kernel should have at hand. It takes them in the order in which they were given, so that more of
    /// them than are needed is a longer way round, and each colder when its turn comes.
    provide_target: Cell<usize>,
    provided: Cell<usize>,
    /// Taken by the kernel since the last turn, and in the busiest of the turns that are remembered.
    taken: Cell<usize>,
    taken_peak: Cell<usize>,
    turns: Cell<u32>,
    leased: Cell<usize>,
    ran_out: Cell<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    owner: Owner,
    /// Next buffer of the queue this one is in.
    next: u16,
    /// The bytes that count: `start..start + len`.
    start: u16,
    len: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Reserve,
    Kernel,
    Leased,
}

/// Where a pool's buffers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolCounts {
    /// Made so far.
    pub total: usize,
    /// With the kernel, waiting for bytes.
    pub provided: usize,
    /// Held by somebody.
    pub leased: usize,
    /// Times the kernel found no buffer.
    pub ran_out: u64,
}

/// A lease of one buffer and the bytes in it. Dropping it gives the buffer back.
pub struct Buf {
    pool: Rc<Pool>,
    id: u16,
    start: u16,
    len: u16,
}

/// Buffers in order, linked through the pool's entries. Whoever owns the queue gives them back (`Pool::clear`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Queue {
    head: u16,
    tail: u16,
    len: u16,
}

impl Queue {
    pub(super) const EMPTY: Queue = Queue { head: NONE, tail: NONE, len: 0 };

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Pool {
    /// A pool without a kernel behind it, for streams that are simulated.
    #[must_use]
    pub fn detached() -> Rc<Self> {
        Rc::new(Self::new(None, BUFFERS_MAX))
    }

    pub(super) fn attached(ring: ProvidedRing, buffers_max: usize) -> Rc<Self> {
        let pool = Rc::new(Self::new(Some(ring), buffers_max.min(BUFFERS_MAX)));
        pool.refill();
        pool
    }

    fn new(ring: Option<ProvidedRing>, buffers_max: usize) -> Self {
        Pool {
            chunks: RefCell::default(),
            entries: RefCell::default(),
            reserve: RefCell::default(),
            ring,
            buffers_max,
            provide_target: Cell::new(PROVIDED_MIN),
            provided: Cell::new(0),
            taken: Cell::new(0),
            taken_peak: Cell::new(0),
            turns: Cell::new(0),
            leased: Cell::new(0),
            ran_out: Cell::new(0),
        }
    }

    /// Where the buffers are now.
    #[must_use]
    pub fn counts(&self) -> PoolCounts {
        PoolCounts {
            total: self.entries.borrow().len(),
            provided: self.provided.get(),
            leased: self.leased.get(),
            ran_out: self.ran_out.get(),
        }
    }

    /// An empty buffer for bytes of our own. `None` when all `BUFFERS_MAX` are held.
    #[must_use]
    pub fn take(self: &Rc<Self>) -> Option<Buf> {
        if self.reserve.borrow().is_empty() {
            self.grow();
        }
        let id = self.reserve.borrow_mut().pop()?;
        self.change_owner(id, Owner::Reserve, Owner::Leased);
        self.leased.set(self.leased.get() + 1);
        Some(Buf { pool: Rc::clone(self), id, start: 0, len: 0 })
    }

    /// Gives the kernel buffers until it has as many as it should. True if it has any.
    pub(super) fn refill(&self) -> bool {
        let Some(ring) = &self.ring else { return false };
        while self.provided.get() < self.provide_target.get() {
            if self.reserve.borrow().is_empty() && !self.grow() {
                break;
            }
            let Some(id) = self.reserve.borrow_mut().pop() else { break };
            self.change_owner(id, Owner::Reserve, Owner::Kernel);
            self.provide(ring, id);
        }
        self.provided.get() > 0
    }

    /// Once a turn: the kernel should have several times what it takes in a turn, as the busiest of the last turns went. To
    /// run out costs a receive its multishot, which costs more than a cold buffer: so up at once, down slowly.
    pub(super) fn adapt(&self) {
        let peak = self.taken_peak.get().max(self.taken.replace(0));
        let (wanted, target) = (TURNS_PROVIDED * peak, self.provide_target.get());
        self.turns.set(self.turns.get() + 1);
        let target = if self.turns.get() < TURNS_REMEMBERED {
            self.taken_peak.set(peak);
            target.max(wanted)
        } else {
            self.turns.set(0);
            self.taken_peak.set(0);
            wanted.max(target / 2)
        };
        self.provide_target.set(target.clamp(PROVIDED_MIN, usize::from(RING_ENTRIES)));
        if self.provided.get() < target / 2 {
            self.refill();
        }
    }

    /// More than half of all buffers there may be are held.
    pub(super) fn is_short(&self) -> bool {
        self.leased.get() > self.buffers_max / 2
    }

    /// How many buffers a queue may hold, of the `full` number that it may hold in good times: when the pool is short, stalled
    /// readers must not hold what everybody else needs.
    pub(super) fn share(&self, full: usize) -> usize {
        if self.is_short() { 1 } else { full }
    }

    /// The kernel ended a receive for want of a buffer: it gets more from now on.
    #[cold]
    pub(super) fn note_ran_out(&self) {
        self.ran_out.set(self.ran_out.get() + 1);
        let doubled = self.provide_target.get() * 2;
        self.provide_target.set(doubled.min(usize::from(RING_ENTRIES)));
    }

    /// The kernel put `len` bytes into buffer `id`, which is ours from now on: to be queued, wrapped or given back.
    pub(super) fn received(&self, id: u16, len: usize) {
        let mut entries = self.entries.borrow_mut();
        let entry = &mut entries[id as usize];
        assert_eq!(entry.owner, Owner::Kernel, "buffer {id} came from the kernel, which did not have it");
        entry.owner = Owner::Leased;
        entry.start = 0;
        entry.len = u16::try_from(len).unwrap_or(u16::MAX);
        self.provided.set(self.provided.get() - 1);
        self.taken.set(self.taken.get() + 1);
        self.leased.set(self.leased.get() + 1);
    }

    /// Ends the lease of buffer `id`.
    pub(super) fn give_back(&self, id: u16) {
        self.leased.set(self.leased.get() - 1);
        match &self.ring {
            Some(ring) if self.provided.get() < self.provide_target.get() => {
                self.change_owner(id, Owner::Leased, Owner::Kernel);
                self.provide(ring, id);
            }
            _ => {
                self.change_owner(id, Owner::Leased, Owner::Reserve);
                self.reserve.borrow_mut().push(id);
                if self.ring.is_some() && self.reserve.borrow().len() > WARM_RESERVE {
                    self.cool(id);
                }
            }
        }
    }

    pub(super) fn push(&self, queue: &mut Queue, id: u16) {
        let mut entries = self.entries.borrow_mut();
        entries[id as usize].next = NONE;
        if queue.tail == NONE {
            queue.head = id;
        } else {
            entries[queue.tail as usize].next = id;
        }
        queue.tail = id;
        queue.len += 1;
    }

    pub(super) fn pop(&self, queue: &mut Queue) -> Option<u16> {
        if queue.head == NONE {
            return None;
        }
        let id = queue.head;
        queue.head = self.entries.borrow()[id as usize].next;
        if queue.head == NONE {
            queue.tail = NONE;
        }
        queue.len -= 1;
        Some(id)
    }

    pub(super) fn clear(&self, queue: &mut Queue) {
        while let Some(id) = self.pop(queue) {
            self.give_back(id);
        }
    }

    /// A handle on a leased buffer that was in a queue.
    pub(super) fn wrap(self: &Rc<Self>, id: u16) -> Buf {
        let entry = self.entries.borrow()[id as usize];
        debug_assert_eq!(entry.owner, Owner::Leased);
        Buf { pool: Rc::clone(self), id, start: entry.start, len: entry.len }
    }

    /// The buffer leaves its handle and stays leased: to be queued.
    pub(super) fn unwrap(&self, buf: Buf) -> u16 {
        debug_assert!(std::ptr::eq(self, Rc::as_ptr(&buf.pool)), "a buffer of another pool");
        {
            let mut entries = self.entries.borrow_mut();
            let entry = &mut entries[buf.id as usize];
            entry.start = buf.start;
            entry.len = buf.len;
        }
        let id = buf.id;
        let mut buf = std::mem::ManuallyDrop::new(buf);
        // SAFETY: `buf` is never used or dropped again, so its share of the pool is given up exactly once, here.
        unsafe { std::ptr::drop_in_place(&raw mut buf.pool) };
        id
    }

    /// The first buffer of a queue: address and length of the bytes that count.
    pub(super) fn front(&self, queue: &Queue) -> Option<(*const u8, u32)> {
        if queue.head == NONE {
            return None;
        }
        let entry = self.entries.borrow()[queue.head as usize];
        let start = self.address(queue.head).wrapping_add(entry.start as usize);
        Some((start.cast_const(), u32::from(entry.len)))
    }

    /// The first `count` bytes of the queue's first buffer are done with.
    pub(super) fn consume_front(&self, queue: &Queue, count: u16) {
        let entry = &mut self.entries.borrow_mut()[queue.head as usize];
        entry.start += count;
        entry.len -= count;
    }

    fn provide(&self, ring: &ProvidedRing, id: u16) {
        ring.push(self.address(id), id);
        self.provided.set(self.provided.get() + 1);
    }

    fn change_owner(&self, id: u16, from: Owner, to: Owner) {
        let entry = &mut self.entries.borrow_mut()[id as usize];
        assert_eq!(entry.owner, from, "buffer {id} has another owner than the one that gives it away");
        entry.owner = to;
    }

    /// Makes a chunk of buffers. False when there are as many as may be, or no memory for more.
    #[cold]
    fn grow(&self) -> bool {
        let mut entries = self.entries.borrow_mut();
        if entries.len() >= self.buffers_max {
            return false;
        }
        let Ok(chunk) = Mapping::anonymous(CHUNK_BUFFERS * BUFFER_BYTES) else { return false };
        let first = entries.len();
        entries.resize(first + CHUNK_BUFFERS, Entry { owner: Owner::Reserve, next: NONE, start: 0, len: 0 });
        let mut reserve = self.reserve.borrow_mut();
        // The reserve is a stack: the lowest address comes out first.
        reserve.extend((first..first + CHUNK_BUFFERS).rev().filter_map(|id| u16::try_from(id).ok()));
        self.chunks.borrow_mut().push(chunk);
        true
    }

    #[cold]
    fn cool(&self, id: u16) {
        let index = id as usize;
        self.chunks.borrow()[index / CHUNK_BUFFERS].discard(index % CHUNK_BUFFERS * BUFFER_BYTES, BUFFER_BYTES);
    }

    fn address(&self, id: u16) -> *mut u8 {
        let index = id as usize;
        self.chunks.borrow()[index / CHUNK_BUFFERS].at(index % CHUNK_BUFFERS * BUFFER_BYTES)
    }
}

impl Buf {
    /// Bytes that may still be appended.
    #[must_use]
    pub fn room(&self) -> usize {
        BUFFER_BYTES - self.start as usize - self.len as usize
    }

    /// Appends as much of `bytes` as there is room for; returns how much.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        let end = self.start as usize + self.len as usize;
        self.whole()[end..end + count].copy_from_slice(&bytes[..count]);
        self.len += u16::try_from(count).unwrap_or(0);
        count
    }

    /// Drops the first `count` bytes.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len as usize, "advance past the end");
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        self.start += count;
        self.len -= count;
    }

    /// Drops all but the first `count` bytes, if there are more.
    pub fn truncate(&mut self, count: usize) {
        self.len = self.len.min(u16::try_from(count).unwrap_or(u16::MAX));
    }

    /// The bytes from `at` on, in a buffer of their own; this one keeps those before. `None` when all buffers are held.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn split_off(&mut self, at: usize) -> Option<Buf> {
        let mut rest = self.pool.take()?;
        rest.append(&self[at..]);
        self.truncate(at);
        Some(rest)
    }

    fn whole(&mut self) -> &mut [u8] {
        // SAFETY: see `deref`; `&mut self` makes this the only view of the buffer.
        unsafe { std::slice::from_raw_parts_mut(self.pool.address(self.id), BUFFER_BYTES) }
    }
}

impl Deref for Buf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let start = self.pool.address(self.id).wrapping_add(self.start as usize);
        // SAFETY: the buffer is BUFFER_BYTES of a mapping that the pool never moves or unmaps, and the pool outlives this
        // `Buf`, which holds a share of it. Its owner is `Leased` (asserted at each hand-over), so neither the kernel nor
        // another `Buf` writes to it, and `start + len <= BUFFER_BYTES` is kept by `append`, `advance` and `received`.
        // The pages are zeroed by the kernel, so the bytes are initialised.
        unsafe { std::slice::from_raw_parts(start, self.len as usize) }
    }
}

impl DerefMut for Buf {
    fn deref_mut(&mut self) -> &mut [u8] {
        let (start, len) = (self.start as usize, self.len as usize);
        &mut self.whole()[start..start + len]
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        self.pool.give_back(self.id);
    }
}

impl std::fmt::Debug for Buf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buf {{ id: {}, len: {} }}", self.id, self.len)
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.counts().fmt(f)
    }
}

/// The ring through which the kernel is given buffers (`IORING_REGISTER_PBUF_RING`, Linux 5.19).
pub(super) struct ProvidedRing {
    entries: Mapping,
    tail: Cell<u16>,
}

impl ProvidedRing {
    pub(super) fn new() -> std::io::Result<Self> {
        let bytes = usize::from(RING_ENTRIES) * size_of::<BufRingEntry>();
        Ok(ProvidedRing { entries: Mapping::anonymous(bytes)?, tail: Cell::new(0) })
    }

    /// What the kernel is told at registration.
    pub(super) fn address(&self) -> u64 {
        self.entries.at(0) as u64
    }

    fn push(&self, buffer: *mut u8, id: u16) {
        let tail = self.tail.get();
        let index = usize::from(tail & (RING_ENTRIES - 1));
        let base: NonNull<BufRingEntry> = self.entries.start().cast();
        // SAFETY: the mapping holds RING_ENTRIES entries, zeroed, page aligned and never moved; it is unmapped only after
        // the ring is closed (the driver drops its IoUring first). The kernel reads entries below the published tail;
        // this one is not, as at most RING_ENTRIES buffers are ever provided (`provide_target`).
        unsafe {
            let entry = &mut *base.as_ptr().add(index);
            entry.set_addr(buffer as u64);
            entry.set_len(u32::try_from(BUFFER_BYTES).unwrap_or(0));
            entry.set_bid(id);
            let published = BufRingEntry::tail(base.as_ptr()).cast::<AtomicU16>();
            (*published).store(tail.wrapping_add(1), Ordering::Release);
        }
        self.tail.set(tail.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_taken_again() {
        let pool = Pool::detached();
        let first = pool.take().map(|mut buf| {
            assert_eq!(buf.append(b"hello"), 5);
            assert_eq!(&buf[..], b"hello");
            buf.id
        });
        assert_eq!(pool.counts().leased, 0);
        let again = pool.take().expect("a buffer");
        assert_eq!(Some(again.id), first, "the one that is still warm");
        assert!(again.is_empty());
    }

    #[test]
    fn an_exhausted_pool_says_so_and_recovers() {
        let pool = Pool::detached();
        let held: Vec<Buf> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(held.len(), BUFFERS_MAX);
        drop(held);
        assert_eq!(pool.counts().leased, 0);
        assert!(pool.take().is_some());
    }

    #[test]
    fn appending_stops_at_the_end_and_advancing_does_not_make_room() {
        let pool = Pool::detached();
        let mut buf = pool.take().expect("a buffer");
        assert_eq!(buf.append(&vec![7; BUFFER_BYTES + 1]), BUFFER_BYTES);
        buf.advance(10);
        assert_eq!((buf.len(), buf.room()), (BUFFER_BYTES - 10, 0));
    }

    #[test]
    fn a_buffer_is_split_where_a_message_ends() {
        let pool = Pool::detached();
        let mut buf = pool.take().expect("a buffer");
        buf.append(b"one messageand the next");
        buf.advance(4);
        let rest = buf.split_off(7).expect("a buffer");
        assert_eq!((&buf[..], &rest[..]), (&b"message"[..], &b"and the next"[..]));
        buf.truncate(100);
        assert_eq!(buf.len(), 7);
        drop((buf, rest));
        assert_eq!(pool.counts().leased, 0);
    }

    #[test]
    #[should_panic(expected = "another owner")]
    fn a_buffer_given_back_twice_is_caught() {
        let pool = Pool::detached();
        let buf = pool.take().expect("a buffer");
        pool.leased.set(2);
        pool.give_back(buf.id);
        drop(buf);
    }

    #[test]
    fn queues_keep_order_and_give_everything_back() {
        let pool = Pool::detached();
        let mut queue = Queue::EMPTY;
        for byte in 0..5 {
            let mut buf = pool.take().expect("a buffer");
            buf.append(&[byte]);
            let id = pool.unwrap(buf);
            pool.push(&mut queue, id);
        }
        for byte in 0..3 {
            let id = pool.pop(&mut queue).expect("queued");
            assert_eq!(&pool.wrap(id)[..], [byte]);
        }
        assert_eq!((queue.len(), pool.counts().leased), (2, 2));
        pool.clear(&mut queue);
        assert!(queue.is_empty());
        assert_eq!(pool.counts().leased, 0);
    }
}
