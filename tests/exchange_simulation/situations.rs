//! What seeds of the simulation found, one by one and by hand: everything arrives at once, and a window opens only where a
//! test says so.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use weir::config::KeepAlive;
use weir::l4::Side;
use weir::l7::{self, Closed, Ordered, Terms, Why};
use weir::ring::sim::{Far, Seen};
use weir::ring::{Pool, Stream};

use crate::Woken;
use crate::world::{Done, Settings, SimWorld, Watched};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: sim.example\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One client, and targets that the test plays; timeouts are a minute.
struct Scene {
    world: Rc<SimWorld>,
    pool: Rc<Pool>,
    client: Far,
    targets: Vec<Far>,
    served: Option<Pin<Box<dyn Future<Output = Closed>>>>,
    closed: Option<Closed>,
    woken: Arc<Woken>,
}

impl Scene {
    fn new() -> Self {
        let snapshot = Arc::new(crate::snapshot());
        let terms = Terms::new(&snapshot, &snapshot.listeners[0], None).expect("http");
        let minute = Duration::from_secs(60);
        let keep_alive = KeepAlive { idle_max: 8, idle_timeout: minute, lifetime: 60 * minute };
        let settings = Settings { keep_alive, idle_timeout: minute, retries: 2, connect_fails: 0 };
        let pool = Pool::detached();
        let world = Rc::new(SimWorld::new(&pool, Rc::new(terms), settings, 1, fastrand::Rng::with_seed(1)));
        let (stream, client) = Watched::new(&pool, Side::Client, &world.watch, &world.clock);
        let of_task = Rc::clone(&world);
        let served = Box::pin(async move {
            let closed = l7::serve(&*of_task, &stream).await;
            if let Closed::Broken(_) = closed {
                stream.abort();
            }
            closed
        });
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        Scene { world, pool, client, targets: Vec::new(), served: Some(served), closed: None, woken }
    }

    /// Everything happens that can: connects, arrivals, sends as far as windows are open.
    fn settle(&mut self) {
        let mut moved = true;
        while std::mem::take(&mut moved) {
            while self.woken.0.swap(false, Ordering::Relaxed) {
                moved = true;
                self.poll();
            }
            while let Some(connecting) = self.world.connecting.borrow_mut().pop() {
                let (stream, far) = Watched::new(&self.pool, Side::Target, &self.world.watch, &self.world.clock);
                far.open_window(1 << 20);
                self.targets.push(far);
                connecting.finish(Ok(stream));
                moved = true;
            }
            for far in self.targets.iter().chain([&self.client]) {
                while far.can_arrive() {
                    far.arrive(usize::MAX);
                    moved = true;
                }
                while far.can_take() {
                    far.take(usize::MAX);
                    moved = true;
                }
            }
        }
    }

    fn poll(&mut self) {
        let Some(served) = &mut self.served else { return };
        let waker = Waker::from(Arc::clone(&self.woken));
        if let Poll::Ready(closed) = served.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.closed = Some(closed);
            self.served = None;
        }
    }

    fn client_sends(&mut self, bytes: &[u8]) {
        self.client.write(bytes);
        self.settle();
    }

    /// The target that was connected to last.
    fn target_sends(&mut self, bytes: &[u8]) {
        self.targets.last().expect("a target").write(bytes);
        self.settle();
    }

    fn client_reads(&mut self) -> String {
        self.client.open_window(1 << 20);
        self.settle();
        String::from_utf8_lossy(&self.client.delivered()).into_owned()
    }

    fn pass(&mut self, seconds: u64) {
        self.world.clock.advance(self.world.clock.at() + Duration::from_secs(seconds));
        self.settle();
    }

    fn done(&self) -> Vec<(u16, Option<Why>)> {
        self.world.done.borrow().iter().map(|Done { status, why, .. }| (*status, *why)).collect()
    }
}

fn response(length: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

#[test]
fn r_k3_a_drain_waits_for_a_client_that_has_not_read_its_response() {
    let mut scene = Scene::new();
    scene.client_sends(GET);
    scene.target_sends(&[response(10), b"in a queue".to_vec()].concat());
    assert_eq!(scene.done(), [(200, None)], "all of it is queued");
    scene.world.order(Ordered::Finish);
    scene.settle();
    assert_eq!(scene.closed, None);
    assert!(scene.client_reads().ends_with("in a queue"));
    assert_eq!(scene.closed, Some(Closed::Completed));
}

#[test]
fn what_a_client_takes_its_time_for_does_not_count_against_the_target() {
    let mut scene = Scene::new();
    scene.client_sends(GET);
    scene.target_sends(&[response(200_000), vec![b'a'; 40_000]].concat());
    scene.pass(59);
    scene.client_reads();
    scene.pass(59);
    scene.target_sends(&vec![b'b'; 160_000]);
    assert_eq!(scene.client_reads().len(), response(200_000).len() + 200_000);
    assert_eq!(scene.done(), [(200, None)]);
}

#[test]
fn an_own_response_goes_behind_an_interim_one_that_is_half_out() {
    let mut scene = Scene::new();
    scene.client_sends(&[GET, GET].concat());
    scene.target_sends(OK);
    let hints = format!("HTTP/1.1 103 Early Hints\r\nX-A: {0}\r\nX-B: {0}\r\n\r\n", "a".repeat(10_000));
    scene.target_sends(hints.as_bytes());
    scene.targets[0].reset();
    scene.settle();
    let got = scene.client_reads();
    let (first, rest) = got.split_at(OK.len());
    assert_eq!(first.as_bytes(), OK);
    let own = rest.strip_prefix(&hints).expect("the interim response, whole");
    assert!(own.starts_with("HTTP/1.1 502 "), "{own}");
}

#[test]
fn a_client_may_go_with_an_early_response_in_hand() {
    let mut scene = Scene::new();
    scene.client_sends(b"POST / HTTP/1.1\r\nHost: sim.example\r\nContent-Length: 10\r\n\r\nhalf ");
    scene.target_sends(OK);
    assert!(scene.client_reads().ends_with("ok"));
    scene.client.finish();
    scene.settle();
    assert_eq!(scene.done(), [(200, None)]);
    assert_eq!((scene.closed, scene.client.sees()), (Some(Closed::Completed), Seen::End));
}

#[test]
fn an_exchange_that_broke_off_holds_no_buffer() {
    let mut scene = Scene::new();
    scene.client_sends(GET);
    scene.target_sends(&[response(200_000), vec![b'a'; 200_000]].concat());
    scene.client.reset();
    scene.settle();
    assert_eq!(scene.done(), [(460, Some(Why::ClientGone))]);
    assert_eq!(scene.pool.counts().leased, 0);
}

#[test]
fn r_k3_a_head_that_a_drain_cuts_off_is_not_the_clients_fault() {
    let mut scene = Scene::new();
    scene.client_sends(b"GET / HTTP/1.1\r\nHost:");
    scene.world.order(Ordered::Now(Why::Drained));
    scene.settle();
    assert_eq!(scene.done(), [(0, Some(Why::Drained))]);
    assert_eq!(scene.closed, Some(Closed::Broken(Why::Drained)));
}

#[test]
fn r_b6_a_request_that_was_answered_by_a_1xx_is_not_sent_again() {
    let mut scene = Scene::new();
    scene.client_sends(GET);
    scene.target_sends(OK);
    scene.client_sends(GET);
    scene.target_sends(b"HTTP/1.1 103 Early Hints\r\n\r\n");
    scene.targets[0].finish();
    scene.client_reads();
    assert_eq!(scene.targets.len(), 1);
    assert_eq!(scene.done(), [(200, None), (502, Some(Why::TargetClosed))]);
}

#[test]
fn a_request_behind_the_last_response_does_not_turn_its_end_into_a_reset() {
    let mut scene = Scene::new();
    scene.client_sends(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    scene.target_sends(b"HTTP/1.0 200 OK\r\n\r\nuntil here");
    scene.targets[0].finish();
    scene.settle();
    // It had not seen the end yet.
    scene.client.write(GET);
    assert!(scene.client_reads().ends_with("until here"));
    assert_eq!(scene.client.sees(), Seen::End);
    scene.client.finish();
    scene.settle();
    assert_eq!((scene.closed, scene.client.sees()), (Some(Closed::Completed), Seen::End));
}
