//! As many slow clients as descriptors allow: memory stays bounded, and others are served (requirements K5, P6).
//!
//!     slow heads | slow bodies | slow readers --hold--> weir <--requests of others: each is answered--
//!
//! Long tests, which want the machine to themselves.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;

use socket2::{Domain, SockRef, Socket, Type};

use crate::support::config::{Config, Group};
use crate::support::http::{self, Client, Reader};
use crate::support::target::{Handler, Target};
use crate::support::weir::Weir;
use crate::support::{handlers, http_target, place, proc, wait_until};

/// Of 20,000 descriptors of this process one goes to each client and one to each of their targets' connections.
const SLOW: usize = 9000;
const DESCRIPTORS_NEEDED: usize = 2 * SLOW + 500;
/// What a request in flight costs in user space: its exchange, two sockets, a target's connection.
const REQUEST_BYTES_MAX: u64 = 8 << 10;
/// What a shard's receive buffers may take: src/ring/buffers.rs.
const POOL_BYTES_MAX: u64 = 512 << 20;
const MIB: u64 = 1 << 20;

/// A balancer of one shard with patience, in front of `slow`, and of a target that answers others at once.
fn overloaded(slow: Handler) -> Option<(Weir, SocketAddr, SocketAddr, [Target; 2])> {
    if proc::raise_limit() < DESCRIPTORS_NEEDED {
        println!("skipped: this host allows less than {DESCRIPTORS_NEEDED} descriptors a process");
        return None;
    }
    let targets = [Target::start(slow), http_target::start("lively")];
    let (mut config, web) = Config::http(&[targets[0].address]);
    config.web().keys = "header_timeout = \"120s\"\nbody_timeout = \"120s\"\nsend_timeout = \"600s\"".into();
    config.app().keys = "response_timeout = \"600s\"".into();
    let other = place::free();
    config = config.listener("other", other, "other").group(Group::http("other").target(targets[1].address, 10));
    config.listeners[1].protocol = "http";
    Some((Weir::start(config.shards(1)), web, other, targets))
}

/// From one of many source addresses, so that no range of ports runs out; it takes little at a time.
fn connect(number: usize, web: SocketAddr) -> TcpStream {
    let source = Ipv4Addr::new(127, 0, 2, u8::try_from(10 + number % 20).expect("below 30"));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("SO_RCVBUF");
    socket.bind(&SocketAddr::new(source.into(), 0).into()).expect("an address of ours");
    socket.connect(&web.into()).expect("it is accepted");
    socket.into()
}

/// What others see: all of their requests are answered, on kept connections and on new ones.
fn others_are_served(other: SocketAddr) {
    let mut kept = Client::connect(other).expect("it listens");
    for _ in 0..500 {
        assert_eq!(kept.get("/").expect("an answer").text(), "lively");
        assert_eq!(http::visit(other).expect("an answer"), "lively");
    }
}

fn warm_up(web: SocketAddr, other: SocketAddr) {
    for number in 0..50 {
        drop(connect(number, web));
    }
    others_are_served(other);
}

#[test]
#[ignore = "long: ./x test runs it"]
fn r_k5_9000_slow_heads_are_held_at_little_memory_and_others_are_served() {
    let _turn = place::turn();
    let Some((weir, web, other, _targets)) = overloaded(http_target::named("a")) else { return };
    warm_up(web, other);
    let before = weir.resident_bytes();
    let mut clients: Vec<TcpStream> = (0..SLOW).map(|number| connect(number, web)).collect();
    for piece in ["GET / HTTP/1.1\r\nHost: a.example\r\n", "X-Slow: ", "x", "y", "z"] {
        clients.iter_mut().for_each(|stream| stream.write_all(piece.as_bytes()).expect("it is held"));
    }
    weir.wait_for_connections(SLOW);
    others_are_served(other);
    let each = weir.resident_bytes().saturating_sub(before) / SLOW as u64;
    println!("{each} bytes of user-space memory a slow head");
    assert!(each <= REQUEST_BYTES_MAX, "{each} bytes a slow head");
    // And all of them can still come to an end.
    for stream in clients.iter_mut().take(500) {
        stream.write_all(b"\r\n\r\n").expect("sent");
        let answer = Reader::new(stream.try_clone().expect("dup")).message(http::Kind::Response);
        assert_eq!(answer.expect("an answer").expect("a response").text(), "a");
    }
    drop(clients);
    weir.wait_for_connections(0);
}

#[test]
#[ignore = "long: ./x test runs it"]
fn r_k5_9000_slow_bodies_are_held_at_little_memory_and_others_are_served() {
    let _turn = place::turn();
    let (hand_over, streams) = handlers::hand_over();
    let Some((weir, web, other, _targets)) = overloaded(hand_over) else { return };
    warm_up(web, other);
    let before = weir.resident_bytes();
    let (mut clients, mut held) = (Vec::new(), Vec::new());
    for number in 0..SLOW {
        let mut stream = connect(number, web);
        stream.write_all(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10000\r\n\r\n").expect("sent");
        clients.push(stream);
        held.push(streams.recv_timeout(crate::support::PATIENCE).expect("it reaches the target"));
    }
    for _ in 0..5 {
        clients.iter_mut().for_each(|stream| stream.write_all(b"some").expect("it is held"));
    }
    others_are_served(other);
    assert_eq!(weir.metric("weir_connections_active", &[("listener", "web")]), SLOW);
    let each = weir.resident_bytes().saturating_sub(before) / SLOW as u64;
    println!("{each} bytes of user-space memory a slow body");
    assert!(each <= REQUEST_BYTES_MAX, "{each} bytes a slow body");
    drop(clients);
    weir.wait_for_connections(0);
}

#[test]
#[ignore = "long: ./x test runs it"]
fn r_k5_9000_slow_readers_are_held_in_bounded_memory_and_others_are_served() {
    const RESPONSE_BYTES: usize = 200_000;
    let _turn = place::turn();
    let slow: Handler = Arc::new(|stream: TcpStream| {
        // What the balancer does not take stays in little room.
        SockRef::from(&stream).set_send_buffer_size(16 << 10).expect("SO_SNDBUF");
        let mut reader = Reader::new(stream);
        while let Ok(Some(_)) = reader.head() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {RESPONSE_BYTES}\r\n\r\n");
            let mut left = RESPONSE_BYTES;
            let mut sent = reader.stream.write_all(head.as_bytes());
            while sent.is_ok() && left > 0 {
                let piece = left.min(16 << 10);
                sent = reader.stream.write_all(&[b'x'; 16 << 10][..piece]);
                left -= piece;
            }
            if sent.is_err() {
                return;
            }
        }
    });
    let Some((weir, web, other, _targets)) = overloaded(slow) else { return };
    warm_up(web, other);
    let before = weir.resident_bytes();
    let mut clients: Vec<TcpStream> = (0..SLOW).map(|number| connect(number, web)).collect();
    clients.iter_mut().for_each(|stream| stream.write_all(http::get("/").as_bytes()).expect("sent"));
    weir.wait_for_connections(SLOW);
    wait_until("the buffers are at rest", || {
        let leased = || weir.metric("weir_ring_buffers_leased", &[]);
        let now = leased();
        thread::sleep(std::time::Duration::from_millis(500));
        leased() == now
    });
    let grown = weir.resident_bytes().saturating_sub(before);
    println!("{} MiB of user-space memory for {SLOW} slow readers", grown / MIB);
    others_are_served(other);
    let most = SLOW as u64 * REQUEST_BYTES_MAX + POOL_BYTES_MAX;
    assert!(grown <= most, "{grown} bytes for {SLOW} slow readers");
    // What was held back arrives whole.
    for stream in clients.iter().take(100) {
        let mut reader = Reader::new(stream.try_clone().expect("dup"));
        let answer = reader.message(http::Kind::Response).expect("whole").expect("a response");
        assert_eq!(answer.body.len(), RESPONSE_BYTES);
    }
    drop(clients);
    weir.wait_for_connections(0);
    wait_until("buffers are given back", || weir.metric("weir_ring_buffers_leased", &[]) == 0);
}

/// Heads as long as they may be, none of them complete: what is kept of each has a limit, and goes to the next when it is over.
#[test]
#[ignore = "long: ./x test runs it"]
fn r_k5_1000_heads_at_the_limit_are_bounded_and_refused_beyond_it() {
    /// 64 KiB of fields, and room to grow.
    const HEAD_BYTES_MAX: u64 = (128 << 10) + REQUEST_BYTES_MAX;
    const LARGE: usize = 1000;
    let _turn = place::turn();
    let Some((weir, web, other, _targets)) = overloaded(http_target::named("a")) else { return };
    warm_up(web, other);
    let before = weir.resident_bytes();
    let field = format!("X-Large: {}\r\n", "x".repeat(12_000));
    let head = format!("GET / HTTP/1.1\r\nHost: a.example\r\n{}", field.repeat(5));
    // If the second wave found nothing of the first given back, it would double what both cost.
    for wave in 1..=2 {
        let mut clients: Vec<TcpStream> = (0..LARGE).map(|number| connect(number, web)).collect();
        clients.iter_mut().for_each(|stream| stream.write_all(head.as_bytes()).expect("it is held"));
        others_are_served(other);
        let each = weir.resident_bytes().saturating_sub(before) / LARGE as u64;
        println!("wave {wave}: {each} bytes of user-space memory a large head");
        assert!(each <= HEAD_BYTES_MAX, "{each} bytes a large head");
        for stream in clients.iter_mut().take(100) {
            stream.write_all(field.as_bytes()).expect("sent");
            let answer = Reader::new(stream.try_clone().expect("dup")).message(http::Kind::Response);
            assert_eq!(answer.expect("an answer").expect("a response").status(), 431);
        }
        drop(clients);
        weir.wait_for_connections(0);
    }
}
