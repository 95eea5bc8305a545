//! A kept-alive request allocates nothing on its way through a shard: head, router, target connection, response, body.
//!
//! A whole shard runs in this process, between a client and a target that allocate nothing themselves while they are counted.

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::sync::oneshot;
use weir::access_log::Writer;
use weir::config::{self, Mode, Snapshot};
use weir::ring::options::{self, Steering};
use weir::shard::{self, Apply, Mailbox, Order, Setup};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REQUESTS: usize = 2_000;
const WARM_UP: usize = 200;
const FORWARD: &str = "default_action = { forward = \"app\" }";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: target\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello there\n";

#[test]
fn a_kept_alive_request_allocates_nothing() {
    let request =
        b"GET /some/path?with=query HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: test/1.0\r\nAccept: */*\r\n\
        Accept-Encoding: gzip, br\r\nCookie: a=b; c=d\r\n\r\n";
    assert_eq!(allocations_of(request, FORWARD, ""), 0);
}

#[test]
fn a_kept_alive_request_with_a_body_allocates_nothing() {
    let request = b"POST /form HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 11\r\n\r\nhello=there";
    assert_eq!(allocations_of(request, FORWARD, ""), 0);
}

/// The batches are made when they are first needed, and there are 32 at most; nothing else is made for 10,000 lines.
#[test]
fn r_m3_a_line_of_the_access_log_allocates_nothing() {
    let request = b"GET /some/path?with=query HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: test/1.0\r\n\r\n";
    let log = "[access_log]\npath = \"/dev/null\"\n";
    let allocations = allocations_with(request, FORWARD, "", log);
    assert!(allocations <= 32, "{allocations}");
}

#[test]
fn a_kept_alive_request_of_a_session_allocates_nothing() {
    let request = b"GET / HTTP/1.1\r\nHost: www.example.com\r\nCookie: theme=dark; lang=en\r\n\r\n";
    assert_eq!(allocations_of(request, FORWARD, "stickiness = { type = \"cookie\", duration = \"1h\" }"), 0);
}

#[test]
fn a_kept_alive_request_among_rules_of_every_kind_allocates_nothing() {
    let request =
        b"GET /v2/items?lang=en HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: test/1.0\r\nX-Beta: 1\r\n\r\n";
    let rule = |priority: u16, conditions: &str| {
        format!("[[listener.rule]]\npriority = {priority}\n{conditions}\naction = {{ forward = \"app\" }}\n")
    };
    let rules = [
        rule(1, "host = \"api.example.com\""),
        rule(2, "host = \"*.example.com\"\npath = [{ regex = \"/v[0-9]+/users\" }, \"/img/*\"]"),
        rule(3, "header = [{ name = \"User-Agent\", values = [\"*curl*\"] }]"),
        rule(4, "query = [{ key = \"lang\", value = \"d?\" }]"),
        rule(5, "method = \"POST\"\nsource_ip = \"10.0.0.0/8\""),
        rule(
            6,
            "host = \"www.*\"\npath = { regex = \"^/v[0-9]+/items$\" }\nheader = [{ name = \"x-beta\", values = [\"?\"] }]",
        ),
    ];
    let default = "default_action = { fixed_response = { status = 404 } }";
    assert_eq!(allocations_of(request, &format!("{default}\n{}", rules.concat()), ""), 0);
}

/// Allocations while `REQUESTS` equal requests pass, one after another. A few a thousand would be rounding; none is none.
fn allocations_of(request: &[u8], actions: &str, group: &str) -> usize {
    allocations_with(request, actions, group, "")
}

fn allocations_with(request: &[u8], actions: &str, group: &str, log: &str) -> usize {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let target = TcpListener::bind("127.0.0.1:0").expect("a port for the target");
    let target_address = target.local_addr().expect("bound");
    thread::spawn(move || serve(&target));
    let listen = free_address();
    let snapshot = snapshot(listen, target_address, actions, group, log);
    let _shard = start(&snapshot, listen);
    let mut client = TcpStream::connect(listen).expect("connects to the shard");
    client.set_nodelay(true).expect("a socket option");
    let mut buffer = [0; 4096];
    (0..WARM_UP).for_each(|_| ask(&mut client, request, &mut buffer));
    let region = Region::new(ALLOCATOR);
    (0..REQUESTS).for_each(|_| ask(&mut client, request, &mut buffer));
    let change = region.change();
    change.allocations + change.reallocations
}

/// The counter is the process's: one test at a time.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn ask(client: &mut TcpStream, request: &[u8], buffer: &mut [u8]) {
    client.write_all(request).expect("the shard reads");
    let mut have = 0;
    while !buffer[..have].ends_with(b"hello there\n") {
        let count = client.read(&mut buffer[have..]).expect("the shard answers");
        assert_ne!(count, 0, "the shard closed the connection: {}", String::from_utf8_lossy(&buffer[..have]));
        have += count;
    }
    assert!(buffer.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

/// Answers each request; its own reads see a whole request each, as the client sends one at a time.
fn serve(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().expect("the shard connects");
    stream.set_nodelay(true).expect("a socket option");
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
        if stream.write_all(RESPONSE).is_err() {
            return;
        }
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

fn snapshot(listen: SocketAddr, target: SocketAddr, actions: &str, group: &str, log: &str) -> Arc<Snapshot> {
    let (ip, port) = (target.ip(), target.port());
    let text = format!(
        "[[listener]]\nname = \"web\"\nprotocol = \"http\"\naddress = \"{listen}\"\n\
         {actions}\n\
         [[target_group]]\nname = \"app\"\nprotocol = \"http\"\nhealth_check = {{ protocol = \"none\" }}\n{group}\n\
         [[target_group.target]]\naddress = \"{ip}\"\nport = {port}\n{log}"
    );
    Arc::new(config::parse("test", &text, Mode::Demo).expect("a good config"))
}

fn start(snapshot: &Arc<Snapshot>, listen: SocketAddr) -> Mailbox {
    let empty =
        Arc::new(Snapshot { revision: 0, listeners: Vec::new(), groups: Vec::new(), ..Snapshot::clone(snapshot) });
    let log = Writer::start(1).expect("a thread");
    log.apply(snapshot.access_log.as_ref()).expect("it can be opened");
    let started = shard::start(Setup { id: 0, shards: 1, core: 0 }, empty, log.sink(0)).expect("a shard");
    started.ready.blocking_recv().expect("an answer").expect("a ring");
    let mut sockets = options::listen(listen, &[0], Steering::ByHash, &[]).expect("binds").sockets;
    let (done, is_done) = oneshot::channel();
    let sockets = sockets.pop().map(|socket| (listen, socket)).into_iter().collect();
    let apply = Apply { snapshot: Arc::clone(snapshot), connections_max: 100, sockets, done };
    started.mailbox.send(Order::Apply(apply));
    is_done.blocking_recv().expect("applied");
    started.mailbox
}
