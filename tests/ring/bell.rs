//! The mailbox's bell: rung by another thread, heard by a shard that sleeps in its ring.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use weir::ring::{Bell, Event, Ring, TICK};

use super::{Before, PATIENCE, on_ring};

const RINGS: u64 = 100_000;
const ROUNDS: u64 = 1_000;

#[test]
fn a_ring_of_the_bell_is_never_lost() {
    on_ring(|ring| async move {
        let before = Before::now();
        let bell = Bell::new().expect("a descriptor");
        let event = Event::new(&ring, &bell);
        let rung = Arc::new(AtomicU64::new(0));
        let ringer = std::thread::spawn({
            let rung = Arc::clone(&rung);
            move || {
                let mut dice = fastrand::Rng::with_seed(2);
                for count in 1..=RINGS {
                    rung.store(count, Ordering::Release);
                    bell.ring();
                    (0..dice.u32(..200)).for_each(|_| std::hint::spin_loop());
                }
            }
        });
        while rung.load(Ordering::Acquire) < RINGS {
            heard(&ring, &event).await;
        }
        ringer.join().expect("rung");
        drop(event);
        before.again(&ring).await;
    });
}

#[test]
fn a_sleeping_shard_wakes_at_the_bell_and_not_at_its_tick() {
    on_ring(|ring| async move {
        let bell = Bell::new().expect("a descriptor");
        let event = Event::new(&ring, &bell);
        let answered = Arc::new(AtomicU64::new(0));
        let ringer = std::thread::spawn({
            let answered = Arc::clone(&answered);
            move || {
                for round in 1..=ROUNDS {
                    bell.ring();
                    while answered.load(Ordering::Acquire) < round {
                        std::thread::yield_now();
                    }
                }
            }
        });
        let started = Instant::now();
        for round in 1..=ROUNDS {
            heard(&ring, &event).await;
            answered.store(round, Ordering::Release);
        }
        let ticks = started.elapsed().as_millis() / TICK.as_millis();
        assert!(ticks < u128::from(ROUNDS / 2), "{ROUNDS} rounds took {ticks} ticks: the shard slept through the bell");
        ringer.join().expect("rung");
    });
}

async fn heard(ring: &Ring, event: &Event) {
    ring.timeout(PATIENCE, pin!(event.wait())).await.expect("the bell was rung, but not heard");
}
