//! Deadlines: never early, gone when cancelled.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use weir::ring::{Elapsed, TICK};

use super::{ALONE, Before, Tasks, on_ring};

#[test]
fn a_sleep_is_never_early() {
    on_ring(|ring| async move {
        let before = Before::now();
        let tasks = Tasks::default();
        let mut dice = fastrand::Rng::with_seed(3);
        for _ in 0..2_000 {
            let (time, again) = (Duration::from_micros(dice.u64(..300_000)), ring.clone());
            tasks.spawn(&ring, async move {
                let started = Instant::now();
                again.sleep(time).await;
                assert!(started.elapsed() >= time, "slept {:?} of {time:?}", started.elapsed());
            });
        }
        tasks.done(&ring).await;
        before.again(&ring).await;
    });
}

#[test]
fn a_sleep_lasts_its_time_even_when_its_turn_was_long() {
    on_ring(|ring| async move {
        std::thread::sleep(5 * TICK);
        let started = Instant::now();
        ring.sleep(2 * TICK).await;
        assert!(started.elapsed() >= 2 * TICK, "slept {:?} of {:?}", started.elapsed(), 2 * TICK);
    });
}

#[test]
fn what_is_in_time_or_given_up_leaves_no_deadline() {
    on_ring(|ring| async move {
        let before = Before::now();
        for _ in 0..1_000 {
            assert_eq!(ring.timeout(Duration::from_secs(3600), pin!(async { 7 })).await, Ok(7));
        }
        let late = ring.timeout(TICK, pin!(ring.sleep(Duration::from_secs(3600)))).await;
        assert_eq!(late, Err(Elapsed));
        let mut kept = ring.sleep(Duration::from_secs(3600));
        assert_eq!(ring.timeout(TICK, pin!(&mut kept)).await, Err(Elapsed));
        assert_eq!(ring.counts().timers, 1);
        drop(kept);
        before.again(&ring).await;
    });
}

#[test]
fn an_alarm_is_never_early_and_does_not_wait_for_a_tick() {
    on_ring(|ring| async move {
        let before = Before::now();
        let mut shortest = TICK;
        for _ in 0..100 {
            let deadline = quanta::Instant::now() + TICK / 20;
            ring.alarm(deadline).await;
            let late = quanta::Instant::now().checked_duration_since(deadline).expect("not early");
            shortest = shortest.min(late);
        }
        assert!(shortest < TICK / 2, "the best of a hundred was {shortest:?} late");
        let mut kept = Box::pin(ring.alarm(ring.now() + Duration::from_secs(3600)));
        assert_eq!(ring.timeout(TICK, kept.as_mut()).await, Err(Elapsed));
        assert_eq!(ring.counts().timers, 1);
        drop(kept);
        before.again(&ring).await;
    });
}

#[test]
fn alarms_end_in_the_order_of_their_deadlines() {
    on_ring(|ring| async move {
        let before = Before::now();
        let (tasks, ended) = (Tasks::default(), Rc::new(RefCell::new(Vec::new())));
        let start = quanta::Instant::now() + TICK;
        let mut dice = fastrand::Rng::with_seed(5);
        let mut order: Vec<u32> = (0..500).collect();
        dice.shuffle(&mut order);
        for place in order {
            let (alarm, ended) = (ring.alarm(start + Duration::from_micros(50) * place), Rc::clone(&ended));
            tasks.spawn(&ring, async move {
                alarm.await;
                ended.borrow_mut().push(place);
            });
        }
        tasks.done(&ring).await;
        assert!(ended.borrow().is_sorted(), "{:?}", ended.borrow());
        before.again(&ring).await;
    });
}

#[test]
fn an_executor_ends_with_its_work_whatever_still_waits() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let thread = weir::ring::executor::spawn("weir-test", None, |ring| async move {
        let ring = ring.expect("a ring");
        let waits = ring.clone();
        ring.spawn(async move { waits.sleep(Duration::from_secs(3600)).await });
        ring.sleep(TICK).await;
        7
    });
    assert_eq!(thread.expect("a thread").join().expect("no panic"), 7);
}
