//! A shard's end of the access log: entries become records in a batch, full batches go to the writer.
//!
//!     record --copy--> batch --full, or tick--> queue --> writer
//!                        ^--------- emptied ------------------'
//!
//! A shard never waits: where no batch is free, as the writer has them all, the entry is dropped and counted.
//! Always: a sink has `BATCHES_MAX` batches at most, made when they are first needed; from then on nothing allocates.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::entry::Entry;
use super::record::{RECORD_BYTES_MAX, encode};
use super::writer::Message;

/// A batch that holds so much is handed over. Ours: some 250 requests.
pub(super) const BATCH_BYTES: usize = 64 << 10;

/// Most batches of a sink. Ours: 2 MiB, some 8,000 requests, are a tenth of a second of a busy shard.
pub(super) const BATCHES_MAX: usize = 32;

/// A writer that has so many batches of ours does not keep up just now. Ours: the one that it reads, and one that waits.
const UNDER_WAY_WHEN_SLOW: usize = 2;

/// Records on their way from a shard to the writer.
pub(super) struct Batch {
    pub(super) shard: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) records: u64,
    /// Takes `bytes` back. It has room for all of them.
    pub(super) home: SyncSender<Vec<u8>>,
}

/// Whether entries are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// They are.
    On,
    /// There is no access log: they are not even looked at.
    Off,
}

/// What a sink counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SinkCounts {
    /// Entries, with those dropped.
    pub records: u64,
    /// Entries for which there was no room.
    pub dropped: u64,
}

/// One shard's way to the access log.
pub struct Sink {
    shard: usize,
    recording: Recording,
    /// `None` once closed.
    messages: Option<SyncSender<Message>>,
    home: SyncSender<Vec<u8>>,
    emptied: Receiver<Vec<u8>>,
    /// How many batches were made: those with the writer, the spare ones and `batch`.
    made: usize,
    under_way: usize,
    spare: Vec<Vec<u8>>,
    /// The one that is being filled.
    batch: Option<Vec<u8>>,
    /// Records in it.
    pending: u64,
    counts: SinkCounts,
}

impl Sink {
    pub(super) fn new(shard: usize, messages: Option<SyncSender<Message>>) -> Self {
        let (home, emptied) = sync_channel(BATCHES_MAX);
        Sink {
            shard,
            recording: Recording::Off,
            messages,
            home,
            emptied,
            made: 0,
            under_way: 0,
            spare: Vec::with_capacity(BATCHES_MAX),
            batch: None,
            pending: 0,
            counts: SinkCounts::default(),
        }
    }

    /// Whether there is an access log to write to. When there is no more, what is pending still goes out.
    pub fn set_recording(&mut self, recording: Recording) {
        if recording == Recording::Off {
            self.flush();
        }
        self.recording = recording;
    }

    /// `record` keeps what it gets: entries need be made only then.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.recording == Recording::On
    }

    /// Notes an entry. Copies it, and no more.
    pub fn record(&mut self, entry: &Entry<'_>) {
        if !self.is_recording() {
            return;
        }
        self.counts.records += 1;
        if self.batch.is_none() {
            self.batch = self.take_batch();
        }
        let Some(batch) = &mut self.batch else {
            self.counts.dropped += 1;
            return;
        };
        encode(entry, batch);
        self.pending += 1;
        if batch.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    /// The shard calls it each `FLUSH_INTERVAL`, so that the lines of a quiet listener come too. While the writer still has
    /// batches of ours it gets full ones only: small ones would use up their number, and a short stall would cost lines.
    pub fn tick(&mut self) {
        self.gather_emptied();
        if self.under_way < UNDER_WAY_WHEN_SLOW {
            self.flush();
        }
    }

    /// Hands over what is pending.
    pub fn flush(&mut self) {
        if self.pending == 0 {
            return;
        }
        let Some(bytes) = self.batch.take() else { return };
        let records = std::mem::take(&mut self.pending);
        let batch = Batch { shard: self.shard, bytes, records, home: self.home.clone() };
        let sent = match &self.messages {
            Some(messages) => messages.try_send(Message::Batch(batch)),
            None => Err(TrySendError::Disconnected(Message::Batch(batch))),
        };
        match sent {
            Ok(()) => self.under_way += 1,
            // The queue has room for the batches of all sinks, so this is that the writer is gone.
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => {
                self.counts.dropped += records;
                if let Message::Batch(mut batch) = message {
                    batch.bytes.clear();
                    self.spare.push(batch.bytes);
                }
            }
        }
    }

    /// Hands over what is pending; what comes later is dropped. The writer may end when every sink is closed.
    pub fn close(&mut self) {
        self.flush();
        self.messages = None;
    }

    /// What it counted.
    #[must_use]
    pub fn counts(&self) -> SinkCounts {
        self.counts
    }

    fn take_batch(&mut self) -> Option<Vec<u8>> {
        self.gather_emptied();
        if let Some(spare) = self.spare.pop() {
            return Some(spare);
        }
        if self.made == BATCHES_MAX {
            return None;
        }
        self.made += 1;
        // The record that fills it goes beyond; of memory that is not written to, nothing is used.
        Some(Vec::with_capacity(BATCH_BYTES + RECORD_BYTES_MAX))
    }

    fn gather_emptied(&mut self) {
        while let Ok(emptied) = self.emptied.try_recv() {
            self.under_way -= 1;
            self.spare.push(emptied);
        }
    }
}
