//! Connections to targets: kept, reused, given up; and requests that are tried again.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::config::Config;
use crate::support::http::{self, Client, Kind, Reader};
use crate::support::http_target::{self, Received};
use crate::support::target::{Handler, Target};
use crate::support::weir::Weir;
use crate::support::{place, wait_until};

#[test]
fn r_b6_a_targets_connection_serves_request_after_request_of_many_clients() {
    let target = http_target::start("a");
    let (config, web) = Config::http(&[target.address]);
    let weir = Weir::start(config.shards(1));
    for round in 0..50 {
        let mut client = Client::connect(web).expect("it listens");
        for path in ["/one", "/two"] {
            assert_eq!(client.get(path).expect("an answer").text(), "a");
        }
        assert_eq!(http::ask(web, http::post("/", b"body")).expect("an answer").text(), "a", "{round}");
    }
    assert_eq!(target.visits().len(), 1, "one at a time");
    assert_eq!(weir.metric("weir_target_connections_total", &[]), 1);
    assert_eq!(weir.metric("weir_target_requests_total", &[]), 150);
    assert_eq!(weir.metric("weir_target_connections_idle", &[]), 1);
}

#[test]
fn r_b6_at_most_idle_max_connections_are_kept() {
    let target = Target::start(http_target::serve(|_| {
        thread::sleep(Duration::from_millis(300));
        http_target::ok("a")
    }));
    let (mut config, web) = Config::http(&[target.address]);
    config.app().keys = "keep_alive = { idle_max = 3, idle_timeout = \"1h\" }".into();
    let mut weir = Weir::start(config.shards(1));
    let at_once = |count: usize| {
        thread::scope(|scope| (0..count).for_each(|_| drop(scope.spawn(|| http::visit(web).expect("an answer")))));
    };
    at_once(10);
    let made = target.visits().len();
    println!("{made} connections for 10 requests at once");
    assert!(made > 3, "they were in flight at once");
    wait_until("three are left", || weir.metric("weir_target_connections_idle", &[]) == 3);
    weir.change(|config| config.app().keys = "keep_alive = { idle_max = 0 }".into());
    let before = target.visits().len();
    (0..5).for_each(|_| drop(http::visit(web).expect("an answer")));
    let made = target.visits().len() - before;
    assert!(made >= 2, "those that were kept may go first, then each request has its own: {made}");
    assert_eq!(weir.metric("weir_target_connections_idle", &[]), 0);
}

#[test]
fn r_p1_targets_of_1_0_get_a_connection_for_each_request() {
    let (handler, received) = http_target::recording("a");
    let target = Target::start(handler);
    let (mut config, web) = Config::http(&[target.address]);
    config.app().keys = "http_version = \"1.0\"".into();
    let _weir = Weir::start(config);
    let mut client = Client::connect(web).expect("it listens");
    for _ in 0..5 {
        assert_eq!(client.get("/").expect("the client's connection is kept").text(), "a");
    }
    assert_eq!(target.visits().len(), 5);
    let received = received.lock().expect("no panic");
    assert!(received.iter().all(|request| request.line == "GET / HTTP/1.0"), "{received:?}");
}

/// A target of 1.0 is not told of the expectation, and would never say 100.
#[test]
fn r_g1_a_client_that_waits_for_100_is_told_to_go_on_where_targets_are_spoken_to_in_1_0() {
    let target = Target::start(http_target::named("a"));
    let (mut config, web) = Config::http(&[target.address]);
    config.app().keys = "http_version = \"1.0\"".into();
    let _weir = Weir::start(config);
    let mut client = Client::connect(web).expect("it listens");
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").expect("sent");
    assert_eq!(client.receive_head().expect("an interim response").status(), 100);
    client.send(b"hello").expect("sent");
    assert_eq!(client.receive().expect("an answer").text(), "a");
}

#[test]
fn r_b6_idle_connections_are_closed_after_their_time() {
    for keep_alive in ["idle_timeout = \"1s\"", "lifetime = \"1s\""] {
        let (greet, ends) = http_ends();
        let target = Target::start(greet);
        let (mut config, web) = Config::http(&[target.address]);
        config.app().keys = format!("keep_alive = {{ {keep_alive} }}");
        let weir = Weir::start(config);
        assert_eq!(http::visit(web).expect("an answer"), "a");
        wait_until(&format!("{keep_alive}: the target sees its end"), || ends.load(Ordering::Relaxed) == 1);
        assert_eq!(weir.metric("weir_target_connections_idle", &[]), 0);
        assert_eq!(http::visit(web).expect("an answer on a new one"), "a");
    }
}

/// A target that counts connections that the balancer ended.
fn http_ends() -> (Handler, Arc<AtomicUsize>) {
    let ends = Arc::new(AtomicUsize::new(0));
    let (serve, counted) = (http_target::named("a"), Arc::clone(&ends));
    let handler = Arc::new(move |stream: TcpStream| {
        serve(stream);
        counted.fetch_add(1, Ordering::Relaxed);
    });
    (handler, ends)
}

/// Each target answers some requests a connection, then closes it: now with the answer, now a moment later.
#[test]
fn r_b6_clients_do_not_notice_that_targets_close_idle_connections() {
    let closing = |name: &'static str| {
        Target::start(Arc::new(move |stream: TcpStream| {
            let mut reader = Reader::new(stream);
            for number in 0.. {
                let Ok(Some(_)) = reader.message(Kind::Request) else { return };
                if reader.stream.write_all(&http_target::ok(name)).is_err() || number == 2 {
                    return;
                }
            }
        }))
    };
    let targets = ["a", "b"].map(closing);
    let (config, web) = Config::http(&targets.each_ref().map(|target| target.address));
    let weir = Weir::start(config);
    let mut client = Client::connect(web).expect("it listens");
    for number in 0..300 {
        let answer = if number % 2 == 0 { client.get("/") } else { client.ask(http::post("/", b"body")) };
        assert_eq!(answer.expect("an answer").status(), 200);
        // A close that is under way while a POST is sent is a failure of that POST (RFC 9110 9.2.2): a moment for it to arrive.
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(weir.metric("weir_http_errors_total", &[]), 0);
}

/// Closes each connection when its second request has come, without an answer: it looks as if it had closed before.
fn closes_at_the_second(name: &'static str) -> (Handler, Received) {
    let received = Received::default();
    let kept = Arc::clone(&received);
    let handler = Arc::new(move |stream: TcpStream| {
        let mut reader = Reader::new(stream);
        for number in 0..2 {
            let Ok(Some(request)) = reader.message(Kind::Request) else { return };
            kept.lock().expect("no panic under it").push(request);
            if number == 0 && reader.stream.write_all(&http_target::ok(name)).is_err() {
                return;
            }
        }
    });
    (handler, received)
}

#[test]
fn r_b6_a_request_that_may_be_repeated_is_when_its_kept_connection_was_closed() {
    let (handler, received) = closes_at_the_second("a");
    let target = Target::start(handler);
    let (config, web) = Config::http(&[target.address]);
    let weir = Weir::start(config.shards(1));
    assert_eq!(http::visit(web).expect("an answer"), "a");
    assert_eq!(http::visit(web).expect("an answer, on a new connection"), "a");
    assert_eq!(received.lock().expect("no panic").len(), 3, "the second was sent twice");
    assert_eq!(target.visits().len(), 2);
    // Now a POST on the connection that is left: it may have done its work, so nobody sends it again.
    let answer = http::ask(web, http::post("/pay", b"once")).expect("an answer");
    assert_eq!(answer.status(), 502);
    weir.failed("target_closed", 1);
    let received = received.lock().expect("no panic");
    assert_eq!(received.iter().filter(|request| request.path() == "/pay").count(), 1);
}

#[test]
fn r_b6_without_retries_a_kept_connection_that_was_closed_is_the_targets_failure() {
    let (handler, _) = closes_at_the_second("a");
    let target = Target::start(handler);
    let (mut config, web) = Config::http(&[target.address]);
    config.app().keys = "retries = 0".into();
    let weir = Weir::start(config.shards(1));
    assert_eq!(http::visit(web).expect("an answer"), "a");
    assert_eq!(http::ask(web, http::get("/")).expect("an answer").status(), 502);
    weir.failed("target_closed", 1);
}

#[test]
fn r_b6_a_post_is_not_repeated_on_another_target() {
    let (bad, received_by_bad) = closes_at_the_second("bad");
    let (good, received_by_good) = http_target::recording("good");
    let (bad, good) = (Target::start(bad), Target::start(good));
    let (config, web) = Config::http(&[bad.address, good.address]);
    let weir = Weir::start(config.shards(1));
    let mut statuses = BTreeMap::new();
    for number in 0..20 {
        let answer = http::ask(web, http::post(&format!("/{number}"), b"once")).expect("an answer");
        *statuses.entry(answer.status()).or_insert(0) += 1;
    }
    let paths = |received: &Received| {
        received.lock().expect("no panic").iter().map(|request| request.path().to_owned()).collect::<Vec<_>>()
    };
    let mut all = [paths(&received_by_bad), paths(&received_by_good)].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 20);
    assert_eq!(paths(&received_by_bad).len() + paths(&received_by_good).len(), 20, "each arrived once");
    assert_eq!(statuses, [(200, 15), (502, 5)].into());
    weir.failed("target_closed", 5);
}

#[test]
fn r_b6_a_target_that_refuses_costs_no_request_whatever_its_method() {
    let (handler, received) = http_target::recording("alive");
    let alive = Target::start(handler);
    let (config, web) = Config::http(&[place::free(), alive.address, place::free()]);
    let weir = Weir::start(config);
    for number in 0..20 {
        let request = if number % 2 == 0 { http::get("/").into_bytes() } else { http::post("/", &vec![b'x'; 100_000]) };
        assert_eq!(http::ask(web, request).expect("an answer").text(), "alive");
    }
    let received = received.lock().expect("no panic");
    assert!(received.iter().skip(1).step_by(2).all(|request| request.body.len() == 100_000));
    assert!(weir.metric("weir_target_connect_failures_total", &[("reason", "refused")]) > 0);
    let entry = weir.logged("a second try", |entry| entry["tried"].is_array());
    assert_eq!(
        (entry["status"].as_u64(), entry["target"].as_str()),
        (Some(200), Some(alive.address.to_string().as_str()))
    );
}

#[test]
fn r_b6_retries_are_as_many_as_the_group_says() {
    let alive = http_target::start("alive");
    let (mut config, web) = Config::http(&[place::free(), place::free(), alive.address]);
    config.app().keys = "retries = 0".into();
    let mut weir = Weir::start(config.shards(1));
    let answers = |weir: &Weir| {
        let statuses: Vec<u16> = (0..6).map(|_| http::ask(web, http::get("/")).expect("an answer").status()).collect();
        println!("{statuses:?}, {} failed", weir.metric("weir_http_errors_total", &[]));
        statuses.iter().filter(|status| **status == 502).count()
    };
    assert_eq!(answers(&weir), 4);
    weir.change(|config| config.app().keys = "retries = 2".into());
    assert_eq!(answers(&weir), 0);
}

/// A target that says more than it was asked for: the rest never becomes somebody's answer.
#[test]
fn r_p5_surplus_bytes_of_a_target_reach_nobody() {
    const FORGED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    let late: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let later = Arc::clone(&late);
    let target = Target::start(Arc::new(move |stream: TcpStream| {
        // What is sent later must not wait for an acknowledgement, which comes with the next request.
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let mut reader = Reader::new(stream);
        while let Ok(Some(request)) = reader.message(Kind::Request) {
            let mut bytes = http_target::ok(request.path());
            match request.path() {
                "/at-once" => bytes.extend_from_slice(FORGED),
                "/later" => later.lock().expect("no panic").push(reader.stream.try_clone().expect("dup")),
                "/head" => bytes = http_target::ok("a body that HEAD must not have"),
                "/not-modified" => bytes = [b"HTTP/1.1 304 Not Modified\r\n\r\n", FORGED].concat(),
                _ => {}
            }
            if reader.stream.write_all(&bytes).is_err() {
                return;
            }
        }
    }));
    let (config, web) = Config::http(&[target.address]);
    let _weir = Weir::start(config.shards(1));
    let mut client = Client::connect(web).expect("it listens");
    for round in 0..5 {
        assert_eq!(client.get("/at-once").expect("an answer").text(), "/at-once");
        assert_eq!(client.get("/mine").expect("an answer").text(), "/mine", "{round}");
        assert_eq!(http::ask(web, http::get("/theirs")).expect("an answer").text(), "/theirs");
        client.send("HEAD /head HTTP/1.1\r\nHost: a.example\r\n\r\n").expect("sent");
        assert_eq!(client.receive_head().expect("a head").status(), 200);
        assert_eq!(client.get("/mine").expect("an answer").text(), "/mine");
        assert_eq!(client.get("/not-modified").expect("an answer").status(), 304);
        assert_eq!(client.get("/mine").expect("an answer").text(), "/mine");
        assert_eq!(client.get("/later").expect("an answer").text(), "/later");
        late.lock().expect("no panic").drain(..).for_each(|mut stream| stream.write_all(FORGED).expect("it is open"));
        thread::sleep(Duration::from_millis(20));
        assert_eq!(client.get("/mine").expect("an answer").text(), "/mine");
    }
}

/// One of the two dies under load and comes back: clients with kept connections see answers all the time.
#[test]
fn r_b6_a_target_that_stops_and_comes_back_costs_no_get() {
    let mut targets = ["a", "b"].map(http_target::start);
    let (mut config, web) = Config::http(&targets.each_ref().map(|target| target.address));
    config.app().check = crate::support::config::QUICK_CHECK.into();
    let weir = Weir::start(config);
    targets.iter().for_each(|target| weir.wait_for_state("app", target.address, "healthy"));
    let load = crate::support::load::Load::start(web, 200, http::visit);
    load.wait_for(100);
    targets[0].stop();
    weir.wait_for_state("app", targets[0].address, "unhealthy");
    load.wait_for(100);
    targets[0].listen();
    weir.wait_for_state("app", targets[0].address, "healthy");
    load.wait_for(100);
    let outcome = load.stop();
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(outcome.answers.len(), 2, "both served: {:?}", outcome.answers);
}
