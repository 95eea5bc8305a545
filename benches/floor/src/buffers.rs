//! The provided buffers: a ring the kernel takes from when bytes arrive, and who holds each buffer after that.
//!
//!     ring --recv--> queue of a flow --last byte sent--> ring
//!
//! Owned by the kernel while in the ring, by one queue otherwise. The ring is a first-in first-out by nature; it is kept
//! short, so that a buffer comes round while its lines are still in the cache.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

pub const BUFFER_GROUP: u16 = 0;
/// Bytes of one buffer.
const BUFFER_BYTES: u32 = 4096;
/// Buffers in all; a power of two, as the kernel's ring wants.
const BUFFERS: u16 = 256;
/// End of a queue.
const NONE: u16 = u16::MAX;

/// Buffers in order, linked through `Buffers::leases`.
#[derive(Clone, Copy)]
pub struct Queue {
    first: u16,
    last: u16,
}

impl Default for Queue {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.first == NONE
    }
}

#[derive(Clone, Copy)]
struct Lease {
    next: u16,
    /// What is left to send.
    start: u32,
    end: u32,
}

pub struct Buffers {
    /// Bytes ahead of those that are received into a buffer, for what a head grows by.
    headroom: u32,
    /// `BUFFERS` of `BUFFER_BYTES` each, mapped for ever.
    memory: *mut u8,
    /// `BUFFERS` entries shared with the kernel, mapped for ever.
    ring: *mut BufRingEntry,
    tail: u16,
    available: usize,
    leases: Vec<Lease>,
}

impl Buffers {
    /// Maps the memory, registers the ring and fills it. The kernel receives behind `headroom` bytes of each buffer.
    pub fn register(submitter: &Submitter<'_>, headroom: u32) -> io::Result<Self> {
        assert!(headroom < BUFFER_BYTES);
        let ring: *mut BufRingEntry = map(usize::from(BUFFERS) * size_of::<BufRingEntry>())?.cast();
        let memory = map(usize::from(BUFFERS) * BUFFER_BYTES as usize)?;
        // SAFETY: `ring` is a page-aligned mapping of `BUFFERS` entries that is never unmapped, so it outlives the io_uring.
        unsafe { submitter.register_buf_ring_with_flags(ring as u64, BUFFERS, BUFFER_GROUP, 0)? };
        let leases = vec![Lease { next: NONE, start: 0, end: 0 }; usize::from(BUFFERS)];
        let mut buffers = Self { headroom, memory, ring, tail: 0, available: 0, leases };
        for buffer in 0..BUFFERS {
            buffers.give_back(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// Notes that a receive took a buffer from the ring.
    #[inline]
    pub fn taken(&mut self) {
        self.available -= 1;
    }

    /// Buffers in the ring, as far as completions have told.
    pub fn available(&self) -> usize {
        self.available
    }

    /// Where what is received into a buffer begins.
    #[inline]
    pub fn headroom(&self) -> u32 {
        self.headroom
    }

    /// The headroom of a buffer that was taken, and the bytes received behind it.
    #[inline]
    pub fn filled(&mut self, buffer: u16, bytes: u32) -> &mut [u8] {
        let offset = usize::from(buffer) * BUFFER_BYTES as usize;
        let length = (self.headroom + bytes).min(BUFFER_BYTES) as usize;
        assert!(buffer < BUFFERS);
        // SAFETY: buffer `buffer` lies inside `memory`, whose pages are mapped for ever and were zeroed, and `length` ends with it.
        // Taken, it is not the kernel's until `give_back`, and no send of it has begun; the borrow of `self` keeps both from
        // happening meanwhile.
        unsafe { std::slice::from_raw_parts_mut(self.memory.add(offset), length) }
    }

    /// Appends a filled buffer, of which bytes `start` to `end` are to be sent; true when it is the only one, so that its send is
    /// to be started.
    #[inline]
    pub fn enqueue(&mut self, queue: &mut Queue, buffer: u16, start: u32, end: u32) -> bool {
        self.leases[usize::from(buffer)] = Lease { next: NONE, start, end };
        let idle = queue.is_empty();
        if idle {
            queue.first = buffer;
        } else {
            self.leases[usize::from(queue.last)].next = buffer;
        }
        queue.last = buffer;
        idle
    }

    /// Gives the oldest buffer of a queue back to the kernel; the next one, if any.
    #[inline]
    pub fn dequeue(&mut self, queue: &mut Queue) -> Option<u16> {
        let buffer = queue.first;
        queue.first = self.leases[usize::from(buffer)].next;
        self.give_back(buffer);
        (!queue.is_empty()).then_some(queue.first)
    }

    /// Puts a buffer at the end of the ring; the kernel sees it after `publish`.
    #[inline]
    pub fn give_back(&mut self, buffer: u16) {
        // SAFETY: the index is cut to `BUFFERS` entries, all of them mapped. The kernel reads an entry only up to the tail it
        // was shown, and at most `BUFFERS` buffers exist, so this entry is one it has already taken from.
        let entry = unsafe { &mut *self.ring.add(usize::from(self.tail & (BUFFERS - 1))) };
        entry.set_addr(self.memory as u64 + u64::from(buffer) * u64::from(BUFFER_BYTES) + u64::from(self.headroom));
        entry.set_len(BUFFER_BYTES - self.headroom);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        self.available += 1;
    }

    /// Counts sent bytes; true when some are left.
    #[inline]
    pub fn advance(&mut self, buffer: u16, bytes: u32) -> bool {
        let lease = &mut self.leases[usize::from(buffer)];
        lease.start += bytes;
        lease.start < lease.end
    }

    /// Where the unsent bytes of a buffer are.
    #[inline]
    pub fn unsent(&self, buffer: u16) -> (*const u8, u32) {
        let lease = self.leases[usize::from(buffer)];
        let offset = usize::from(buffer) * BUFFER_BYTES as usize + lease.start as usize;
        // SAFETY: `buffer` indexes `leases`, so it is below `BUFFERS`, and `start <= end <= BUFFER_BYTES`: inside `memory`.
        (unsafe { self.memory.add(offset) }, lease.end - lease.start)
    }

    /// Shows the kernel what was given back since the last call.
    #[inline]
    pub fn publish(&self) {
        // SAFETY: the tail lies in the first entry of the registered, mapped ring; only this thread writes it.
        let tail = unsafe { &*BufRingEntry::tail(self.ring).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}

/// Zeroed pages, never unmapped.
fn map(bytes: usize) -> io::Result<*mut u8> {
    // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches no memory in use.
    let address = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(address.cast()) }
}
