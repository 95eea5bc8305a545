//! A shard's end: it never waits, never allocates once warm, and counts what it drops.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, sync_channel};

use super::super::record::decode;
use super::super::sink::{BATCHES_MAX, Batch, Recording, Sink};
use super::super::writer::Message;
use super::*;

/// A sink, and the queue for the test to read.
fn sink(queue: usize) -> (Sink, Receiver<Message>) {
    let (messages, queue) = sync_channel(queue);
    let mut sink = Sink::new(0, Some(messages));
    sink.set_recording(Recording::On);
    (sink, queue)
}

fn next_batch(queue: &Receiver<Message>) -> Option<Batch> {
    match queue.try_recv() {
        Ok(Message::Batch(batch)) => Some(batch),
        _ => None,
    }
}

fn give_back(mut batch: Batch) {
    batch.bytes.clear();
    batch.home.try_send(batch.bytes).unwrap();
}

#[test]
fn r_m3_a_writer_that_stands_still_costs_entries_which_are_counted_and_nobody_waits() {
    let (mut sink, queue) = sink(1000);
    let entry = entry(&What::Request(request()));
    let total = 50_000;
    (0..total).for_each(|_| sink.record(&entry));
    let batches: Vec<Batch> = std::iter::from_fn(|| next_batch(&queue)).collect();
    assert_eq!(batches.len(), BATCHES_MAX, "what it has is bounded");
    let kept: u64 = batches.iter().map(|batch| batch.records).sum();
    assert_eq!((sink.counts().records, sink.counts().dropped), (total, total - kept));
    assert!(kept > 1000, "{kept}");

    // The writer goes on, and so does the log.
    batches.into_iter().for_each(give_back);
    sink.record(&entry);
    sink.flush();
    assert_eq!(next_batch(&queue).map(|batch| batch.records), Some(1));
    assert_eq!(sink.counts().dropped, total - kept);
}

#[test]
fn r_m3_while_the_writer_stands_still_few_lines_do_not_use_up_the_batches() {
    let (mut sink, queue) = sink(1000);
    for number in 0..1_000 {
        sink.record(&Entry { connection: number, ..connection() });
        sink.tick();
    }
    assert_eq!(sink.counts().dropped, 0);
    let mut batches: Vec<Batch> = std::iter::from_fn(|| next_batch(&queue)).collect();
    assert_eq!((batches[0].records, batches[1].records), (1, 1), "at first there is no telling");
    assert!(batches[2..].iter().all(|batch| batch.records > 100), "then they are full ones");
    let handed_over: u64 = batches.iter().map(|batch| batch.records).sum();

    batches.drain(1..).for_each(give_back);
    sink.tick();
    assert_eq!(next_batch(&queue).map(|batch| batch.records), Some(1_000 - handed_over), "the rest comes at once");
}

#[test]
fn a_queue_that_is_full_or_gone_costs_the_batch_and_its_memory_is_used_again() {
    let (mut sink, queue) = sink(1);
    let entry = connection();
    let mut hand_over = |entries: u64| {
        (0..entries).for_each(|_| sink.record(&entry));
        sink.flush();
        sink.counts().dropped
    };
    assert_eq!(hand_over(2), 0);
    assert_eq!(hand_over(3), 3, "full");
    assert_eq!(next_batch(&queue).map(|batch| batch.records), Some(2));
    assert_eq!(hand_over(4), 3);
    drop(queue);
    assert_eq!(hand_over(5), 8, "gone");
}

#[test]
fn r_m3_recording_takes_no_new_memory_once_warm() {
    let (mut sink, queue) = sink(1000);
    let entry = entry(&What::Request(request()));
    let mut seen = BTreeSet::new();
    for round in 0..100 {
        // Two batches are under way while a third one is filled.
        let mut under_way = Vec::new();
        while under_way.len() < 2 {
            sink.record(&entry);
            under_way.extend(next_batch(&queue));
        }
        let memory = under_way.iter().map(|batch| (batch.bytes.as_ptr() as usize, batch.bytes.capacity()));
        seen.extend(
            memory.inspect(|memory| assert!(round < 2 || seen.contains(memory), "round {round}")).collect::<Vec<_>>(),
        );
        under_way.into_iter().for_each(give_back);
    }
    assert!(seen.len() <= 3, "{seen:?}");
    assert_eq!(sink.counts().dropped, 0);
}

#[test]
fn entries_come_in_the_order_in_which_they_were_recorded() {
    let (mut sink, queue) = sink(1000);
    for number in 0..5_000 {
        sink.record(&Entry { connection: number, ..connection() });
    }
    sink.flush();
    let mut numbers = Vec::new();
    while let Some(batch) = next_batch(&queue) {
        let (mut rest, mut missed) = (&batch.bytes[..], Vec::new());
        while let Ok(entry) = decode(&mut rest, &mut missed) {
            numbers.push(entry.connection);
        }
    }
    assert_eq!(numbers, (0..5_000).collect::<Vec<_>>());
}

#[test]
fn without_an_access_log_nothing_is_recorded_and_when_it_ends_what_is_pending_goes_out() {
    let (mut sink, queue) = sink(1);
    sink.record(&connection());
    sink.set_recording(Recording::Off);
    assert_eq!(next_batch(&queue).map(|batch| batch.records), Some(1));
    sink.record(&connection());
    sink.flush();
    assert!(next_batch(&queue).is_none());
    assert_eq!((sink.counts().records, sink.counts().dropped), (1, 0));
}
