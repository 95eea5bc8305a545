//! Weight 0, unbinding, reloads and stops while requests are in flight: none fails that need not.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::config::{Config, NO_CHECK, QUICK_CHECK};
use crate::support::http::{self, Client, Reader};
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{client, handlers, http_target, place, wait_until};

/// A target that the test plays, with one that answers beside it if `Beside::Another`.
struct Setting {
    weir: Weir,
    web: SocketAddr,
    played: Target,
    streams: Receiver<TcpStream>,
    _other: Target,
}

#[derive(Clone, Copy, PartialEq)]
enum Beside {
    Nothing,
    Another,
}

fn setting(beside: Beside, group_keys: &str, arguments: &[&str]) -> Setting {
    let (hand_over, streams) = handlers::hand_over();
    let (played, other) = (Target::start(hand_over), http_target::start("other"));
    let (mut config, web) = Config::http(&[played.address]);
    if beside == Beside::Another {
        config.app().targets.push((other.address, 10));
    }
    config.app().keys = group_keys.into();
    Setting { weir: Weir::start_under(&[], config.shards(1), arguments), web, played, streams, _other: other }
}

impl Setting {
    /// A client whose request the played target has, not yet answered.
    fn in_flight(&self) -> (Client, Reader) {
        for _ in 0..10 {
            let mut client = Client::connect(self.web).expect("it listens");
            client.send(http::get("/slow")).expect("sent");
            if let Ok(stream) = self.streams.recv_timeout(Duration::from_millis(300)) {
                let mut reader = Reader::new(stream);
                reader.head().expect("a head").expect("a request");
                return (client, reader);
            }
        }
        panic!("no request reached the target");
    }
}

#[test]
fn r_w2_at_weight_0_requests_in_flight_finish_and_nothing_new_arrives() {
    let mut setting = setting(Beside::Another, "", &[]);
    let (mut client, mut target) = setting.in_flight();
    let address = setting.played.address;
    setting.weir.change(|config| config.app().set_weight(address, 0));
    let before = setting.played.visits().len();
    (0..20).for_each(|_| assert_eq!(http::visit(setting.web).expect("an answer"), "other"));
    target.stream.write_all(&http_target::ok("slow")).expect("its request goes on");
    assert_eq!(client.receive().expect("an answer").text(), "slow");
    (0..5).for_each(|_| assert_eq!(client.get("/").expect("an answer").text(), "other"));
    assert_eq!(setting.played.visits().len(), before);
}

#[test]
fn r_w3_a_request_in_flight_at_an_unbound_target_finishes_and_nothing_new_arrives() {
    let mut setting = setting(Beside::Another, "", &[]);
    let (mut client, mut target) = setting.in_flight();
    let address = setting.played.address;
    setting.weir.change(|config| config.app().remove(address));
    (0..20).for_each(|_| assert_eq!(http::visit(setting.web).expect("an answer"), "other"));
    target.stream.write_all(&http_target::ok("slow")).expect("its request goes on");
    assert_eq!(client.receive().expect("an answer").text(), "slow");
    assert!(matches!(target.head(), Ok(None)), "its connection is not kept");
    assert_eq!(client.get("/").expect("the client's is").text(), "other");
}

#[test]
fn r_w3_after_the_deregistration_delay_requests_in_flight_are_ended() {
    let mut setting = setting(Beside::Nothing, "deregistration_delay = \"1s\"", &[]);
    let (mut waits, _held) = setting.in_flight();
    let (reads, mut target) = setting.in_flight();
    target.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").expect("sent");
    reads.stream().read_exact(&mut [0; 20]).expect("the response begins");
    setting.weir.change(|config| config.app().targets.clear());
    assert_eq!(http::ask(setting.web, http::get("/")).expect("an answer").status(), 503, "nothing new arrives");
    assert_eq!(waits.receive().expect("it can still be told").status(), 502);
    let end = reads.into_stream().read_to_end(&mut Vec::new());
    assert!(client::is_reset(&end), "half a response must not look whole: {end:?}");
    setting.weir.failed("deregistered", 2);
}

#[test]
fn r_w3_kept_connections_of_an_unbound_target_are_closed() {
    let target = http_target::start("a");
    let (config, web) = Config::http(&[target.address]);
    let mut weir = Weir::start(config.shards(1));
    let mut client = Client::connect(web).expect("it listens");
    assert_eq!(client.get("/").expect("an answer").text(), "a");
    weir.change(|config| config.app().targets.clear());
    assert_eq!(client.get("/").expect("an answer").status(), 503);
    weir.change(|config| config.app().targets.push((target.address, 10)));
    assert_eq!(client.get("/").expect("an answer").text(), "a");
    assert_eq!(target.visits().len(), 2, "a new one");
}

/// Clients that keep their connections, request upon request, until told to stop. A failure is anything but a whole 200.
struct KeptAlive {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<(usize, Vec<String>)>>,
}

impl KeptAlive {
    fn start(web: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |number: usize| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || kept_alive(web, number, &stop))
        };
        let threads = (0..8).map(client).collect();
        KeptAlive { stop, threads }
    }

    /// How many requests were answered; none has failed.
    fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let outcomes = self.threads.into_iter().map(|thread| thread.join().expect("a client does not panic"));
        let (answered, failures): (Vec<usize>, Vec<Vec<String>>) = outcomes.unzip();
        let failures = failures.concat();
        assert!(failures.is_empty(), "{} failed: {:?}", failures.len(), &failures[..failures.len().min(5)]);
        answered.iter().sum()
    }
}

fn kept_alive(web: SocketAddr, number: usize, stop: &AtomicBool) -> (usize, Vec<String>) {
    let (mut answered, mut failures, mut client) = (0, Vec::new(), None);
    // Half of them upload, which nobody may send twice.
    let request = if number.is_multiple_of(2) { http::get("/").into_bytes() } else { http::post("/", &[b'x'; 5000]) };
    while !stop.load(Ordering::Relaxed) {
        let kept = match client.take() {
            Some(client) => Ok(client),
            None => Client::connect(web),
        };
        let outcome = kept.and_then(|mut client| client.ask(&request).map(|answer| (client, answer)));
        match outcome {
            Ok((kept, answer)) if answer.status() == 200 => {
                answered += 1;
                client = Some(kept).filter(|_| answer.value("connection") != "close");
            }
            Ok((_, answer)) => failures.push(answer.line),
            Err(error) => failures.push(format!("{error} ({:?})", error.kind())),
        }
        thread::sleep(Duration::from_millis(2));
    }
    (answered, failures)
}

#[test]
fn r_w2_r_w3_targets_come_and_go_under_load_and_no_request_fails() {
    // It takes its time, so that some are always in flight.
    let slow = |name: &'static str| {
        Target::start(http_target::serve(move |_| {
            thread::sleep(Duration::from_millis(5));
            http_target::ok(name)
        }))
    };
    let targets = ["a", "b"].map(slow);
    let (config, web) = Config::http(&targets.each_ref().map(|target| target.address));
    let mut weir = Weir::start(config);
    let load = KeptAlive::start(web);
    for target in targets.iter().cycle().take(8) {
        let address = target.address;
        weir.change(|config| config.app().set_weight(address, 0));
        weir.change(|config| config.app().remove(address));
        thread::sleep(Duration::from_millis(20));
        weir.change(|config| config.app().targets.push((address, 10)));
    }
    let answered = load.stop();
    println!("{answered} requests");
    assert!(answered > 200, "there was load: {answered}");
}

const RELOADS: usize = 50;
const RELOAD_PAUSE: Duration = Duration::from_millis(150);

#[test]
#[ignore = "long: ./x test runs it"]
fn r_k1_50_reloads_in_20_s_fail_no_request_of_clients_that_keep_their_connections() {
    let _turn = place::turn();
    let targets = ["a", "b", "c"].map(http_target::start);
    let (config, web) = Config::http(&targets.each_ref().map(|target| target.address));
    let mut weir = Weir::start(config);
    let load = KeptAlive::start(web);
    for round in 0..RELOADS {
        weir.change(|config| toggle(config, round, targets[0].address));
        thread::sleep(RELOAD_PAUSE);
    }
    let answered = load.stop();
    println!("{answered} requests over {RELOADS} reloads");
    assert!(answered > 10 * RELOADS, "there was load all the time");
    assert_eq!(weir.metric("weir_config_reload_total", &[("result", "success")]), RELOADS);
    assert_eq!(weir.metric("weir_connections_accepted_total", &[]), 8, "no client needed a second connection");
}

/// Every kind of change that leaves the listener there, in turn.
fn toggle(config: &mut Config, round: usize, target: SocketAddr) {
    let odd = round / 7 % 2 == 1;
    let set = |text: &str| if odd { String::new() } else { text.into() };
    match round % 7 {
        0 => config.app().set_weight(target, if odd { 10 } else { 0 }),
        1 => config.web().keys = set("idle_timeout = \"30s\"\nhygiene = \"monitor\""),
        2 => config.app().keys = set("algorithm = \"least_outstanding_requests\"\nstickiness = { type = \"cookie\" }"),
        3 => config.app().check = if odd { NO_CHECK.into() } else { QUICK_CHECK.into() },
        4 => {
            config.web().tables =
                set("[[listener.rule]]\npriority = 1\nhost = \"*.example\"\naction = { forward = \"app\" }");
        }
        5 if odd => config.app().targets.push((target, 10)),
        5 => config.app().remove(target),
        _ => config.access_log_keys = set("format = \"alb\""),
    }
}

#[test]
fn r_k1_a_kept_connection_goes_by_the_config_that_is_in_force_with_each_request() {
    let (a, b) = (http_target::start("a"), http_target::start("b"));
    let (config, web) = Config::http(&[a.address]);
    let mut weir = Weir::start(config);
    let mut client = Client::connect(web).expect("it listens");
    for (target, name) in [(&b, "b"), (&a, "a"), (&b, "b")] {
        weir.change(|config| config.app().targets = vec![(target.address, 10)]);
        assert_eq!(client.get("/").expect("an answer").text(), name);
    }
    // A listener that is gone ends its connections with their next response, or at once where they are idle.
    weir.change(|config| config.listeners.clear());
    assert!(client.sees_the_end());
}

#[test]
fn r_k1_a_listener_that_turns_into_a_tcp_one_lets_each_request_finish() {
    let mut setting = setting(Beside::Nothing, "", &[]);
    let (mut busy, mut target) = setting.in_flight();
    let mut idle = Client::connect(setting.web).expect("it listens");
    setting.weir.change(|config| {
        config.web().protocol = "tcp";
        config.app().protocol = "tcp";
        config.app().keys.clear();
    });
    assert!(idle.sees_the_end());
    target.stream.write_all(&http_target::ok("late")).expect("sent");
    let answer = busy.receive().expect("an answer");
    assert_eq!((answer.text(), answer.value("connection")), ("late".into(), "close"));
    assert!(busy.sees_the_end());
}

#[test]
fn r_k3_a_stop_ends_idle_connections_and_lets_requests_in_flight_finish() {
    let mut setting = setting(Beside::Nothing, "", &["--drain", "10m"]);
    let (mut busy, mut target) = setting.in_flight();
    let mut fresh = Client::connect(setting.web).expect("it listens");
    let (mut used, mut other) = setting.in_flight();
    other.stream.write_all(&http_target::ok("kept")).expect("sent");
    assert_eq!(used.receive().expect("an answer").text(), "kept");
    setting.weir.wait_for_connections(3);
    setting.weir.signal("TERM");
    wait_until("the port is closed", || {
        client::connect(setting.web).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
    assert!(fresh.sees_the_end(), "before its first request");
    assert!(used.sees_the_end(), "between requests");
    target.stream.write_all(&http_target::ok("slow")).expect("sent");
    let answer = busy.receive().expect("an answer");
    assert_eq!((answer.text().as_str(), answer.value("connection")), ("slow", "close"));
    assert!(busy.sees_the_end());
    assert_eq!(setting.weir.wait_for_end().code(), Some(0), "it ends by itself when they have");
}

#[test]
fn r_k3_at_the_deadline_requests_in_flight_are_told_or_cut() {
    let mut setting = setting(Beside::Nothing, "", &["--drain", "1s"]);
    let (mut waits, _held) = setting.in_flight();
    let (reads, mut target) = setting.in_flight();
    target.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").expect("sent");
    reads.stream().read_exact(&mut [0; 20]).expect("the response begins");
    setting.weir.signal("TERM");
    // Told, or reset: what it must not be is left hanging.
    match waits.receive() {
        Ok(answer) => assert_eq!(answer.status(), 503),
        outcome => assert!(client::is_reset(&outcome), "{outcome:?}"),
    }
    let end = reads.into_stream().read_to_end(&mut Vec::new());
    assert!(client::is_reset(&end), "half a response must not look whole: {end:?}");
    assert_eq!(setting.weir.wait_for_end().code(), Some(0));
}

/// No client sees a failure: each response says when its connection ends, and what is idle ends in order.
#[test]
fn r_k3_a_stop_under_load_fails_no_request() {
    let target = Target::start(http_target::serve(|_| {
        thread::sleep(Duration::from_millis(5));
        http_target::ok("a")
    }));
    let (config, web) = Config::http(&[target.address]);
    let mut weir = Weir::start_under(&[], config, &["--drain", "10m"]);
    let clients: Vec<_> = (0..8).map(|_| thread::spawn(move || until_told_to_leave(web))).collect();
    thread::sleep(Duration::from_millis(500));
    weir.signal("TERM");
    let answered: usize = clients.into_iter().map(|client| client.join().expect("no request fails")).sum();
    assert!(answered > 50, "there was load: {answered}");
    assert_eq!(weir.wait_for_end().code(), Some(0));
}

/// Without a pause between requests, so that the connection is never idle for long.
fn until_told_to_leave(web: SocketAddr) -> usize {
    let mut client = Client::connect(web).expect("it listens");
    for answered in 1.. {
        let answer = match client.get("/") {
            Ok(answer) => answer,
            // It was idle for a moment, and closed in order: nothing of a response was lost (RFC 9112 9.3.1 lets us ask again).
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe) => return answered,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return answered,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(answer.status(), 200, "{answer:?}");
        if answer.value("connection") == "close" {
            assert!(client.sees_the_end());
            return answered;
        }
    }
    unreachable!("it is told at some time")
}

/// A connection that a client has only begun to use has until its head's end.
#[test]
fn r_k3_a_request_whose_head_has_begun_is_served_while_the_process_drains() {
    let target = http_target::start("a");
    let (config, web) = Config::http(&[target.address]);
    let mut weir = Weir::start_under(&[], config, &["--drain", "10m"]);
    let mut client = Client::connect(web).expect("it listens");
    client.send("GET / HTTP/1.1\r\nHost: ").expect("sent");
    weir.wait_for_connections(1);
    // They are read with the next turn of the shard.
    thread::sleep(Duration::from_millis(100));
    weir.signal("TERM");
    wait_until("the port is closed", || client::connect(web).is_err());
    client.send("a.example\r\n\r\n").expect("it is open");
    let answer = client.receive().expect("an answer");
    assert_eq!((answer.text().as_str(), answer.value("connection")), ("a", "close"));
    assert_eq!(weir.wait_for_end().code(), Some(0));
}
