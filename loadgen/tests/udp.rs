//! Datagrams, through the binary: what is answered, lost, wrong, late, double or refused, and whether the report says so.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use weir_loadgen::output::json;
use weir_loadgen::record::ErrorKind;
use weir_loadgen::results::{End, Results};

/// A `weir-loadgen serve udp` until it is dropped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(options: &str) -> Self {
        let mut process = command(&format!("serve udp --listen 127.0.0.1:0 {options}"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("the server says where");
        let address = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
        Server { process, address }
    }

    fn stop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn command(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-loadgen"));
    command.args(line.split_whitespace());
    command
}

/// Loads `address`: what the process said, and the results if it came to any.
fn load(address: &str, options: &str) -> (Output, Option<Results>) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("results.json");
    let mut command = command(&format!("udp {address} {options}"));
    let output = command.arg("--json").arg(&path).output().expect("it runs");
    (output, json::read(&path).ok())
}

/// As `load`, of a run that goes well.
fn results(address: &str, options: &str) -> (String, Results) {
    let (output, results) = load(address, options);
    assert!(output.status.success(), "{output:?}");
    (String::from_utf8_lossy(&output.stdout).into_owned(), results.expect("results"))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn count(results: &Results, kind: ErrorKind) -> u64 {
    results.errors.get(&kind).copied().unwrap_or(0)
}

/// A service that sends `answers` to each datagram, until the process ends.
fn service(answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound").to_string();
    thread::spawn(move || {
        let mut request = [0; 2048];
        while let Ok((length, client)) = socket.recv_from(&mut request) {
            for answer in answers(&request[..length]) {
                socket.send_to(&answer, client).expect("sent");
            }
        }
    });
    address
}

#[test]
fn an_echo_answers_every_datagram() {
    let address = service(|request| vec![request.to_vec()]);
    let (report, results) = results(&address, "-n 5000 -c 4 --pipeline 8 --request-size 100 --response-size 100");
    assert_eq!(results.requests, 5_000);
    assert!(results.errors.is_empty() && results.strays == 0, "{report}");
    assert_eq!((results.bytes_sent, results.bytes_received), (500_000, 500_000));
    assert!(report.contains("4 sockets on 1 core") && report.contains("Errors: none."), "{report}");
}

#[test]
fn our_server_answers_every_datagram_by_one_of_its_size() {
    let server = Server::start("--response-size 1200");
    let (report, results) = results(&server.address, "-n 10000 -c 8 --pipeline 8 --response-size 1200");
    assert_eq!((results.requests, results.bytes_received), (10_000, 12_000_000), "{report}");
    assert!(results.errors.is_empty(), "{report}");
}

#[test]
fn what_the_server_leaves_unanswered_is_lost_and_nothing_else_is() {
    let server = Server::start("--error-rate 20%");
    let (report, results) = results(&server.address, "-n 4000 -c 64 --pipeline 16 --timeout 2s");
    let lost = count(&results, ErrorKind::Lost);
    assert!((680..=920).contains(&lost), "a fifth, within five deviations: {report}");
    assert_eq!((results.requests + lost, results.errors.len()), (4_000, 1), "{report}");
    assert!(report.contains("datagram lost") && report.contains("no answer within 2s"), "{report}");
}

#[test]
fn nobody_listening_is_said_at_once() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound").to_string();
    drop(socket);
    let begin = Instant::now();
    let (output, results) = load(&address, "");
    assert!(begin.elapsed() < Duration::from_secs(1), "it takes no run to find out");
    assert_eq!(output.status.code(), Some(1));
    assert!(results.is_none());
    let said = stderr(&output);
    for part in [address.as_str(), "refused", "is the service running there?"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_server_that_dies_half_way_ends_the_run_with_what_was_measured() {
    let mut server = Server::start("");
    let address = server.address.clone();
    let run = thread::spawn(move || load(&address, "-c 4 --duration 60s"));
    thread::sleep(Duration::from_millis(500));
    server.stop();
    let (output, results) = run.join().expect("it ends");
    let results = results.expect("partial results");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("stopped answering"), "{output:?}");
    assert!(matches!(results.end, End::TargetDown { .. }) && results.requests > 0, "{:?}", results.end);
    let refused = count(&results, ErrorKind::Refused);
    assert!((4..1_000).contains(&refused), "clients try again, with pauses: {refused}");
}

#[test]
fn a_target_that_falls_silent_ends_the_run() {
    let address = service(|_| Vec::new());
    let (output, results) = load(&address, "-c 2 --duration 60s --pipeline 16 --timeout 50ms");
    let results = results.expect("partial results");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("never answered") && stderr(&output).contains("datagram lost"), "{output:?}");
    assert!(count(&results, ErrorKind::Lost) >= 32);
}

#[test]
fn open_loop_holds_its_rate() {
    let server = Server::start("");
    let (report, results) = results(&server.address, "-c 4 --pipeline 64 --rate 2000 --duration 1s");
    assert!((1_990..=2_000).contains(&(results.requests + results.unsent)), "{report}");
    assert!(results.service.is_some() && results.errors.is_empty() && results.unsent <= 100, "{report}");
}

#[test]
fn a_count_that_was_sent_leaves_nothing_unsent_while_the_last_answers_are_awaited() {
    let server = Server::start("--delay 200ms");
    let (report, results) = results(&server.address, "-c 1 --pipeline 100 --rate 2000 -n 100");
    assert_eq!((results.requests, results.unsent, results.errors.len()), (100, 0, 0), "{report}");
}

#[test]
fn open_loop_counts_latency_from_when_a_datagram_was_due() {
    // One socket, an answer each 10 ms, a request due each 5 ms: the backlog grows to half a second.
    let server = Server::start("--delay 10ms");
    let (report, results) = results(&server.address, "-c 1 --rate 200 --duration 1s");
    let service = results.service.expect("both latencies");
    assert!(service.p50_us < 30_000.0 && results.latency.p50_us > 100_000.0, "{report}");
    assert!(results.unsent > 0, "{report}");
}

#[test]
fn answers_of_a_wrong_size_are_bad() {
    let address = service(|request| {
        let wrong = request[7] % 2 == 0;
        vec![[request, if wrong { b"!" } else { b"" }].concat()]
    });
    let (report, results) = results(&address, "-n 1000 -c 2 --response-size 64");
    assert_eq!(count(&results, ErrorKind::BadAnswer), 500, "every second number is even: {report}");
    assert_eq!((results.requests, results.errors.len()), (500, 1), "{report}");
    assert!(report.contains("65 bytes instead of 64"), "{report}");
}

#[test]
fn answers_without_their_number_are_bad_and_each_fails_one_request() {
    for answer in ["hello, world", "short", ""] {
        let address = service(move |_| vec![answer.as_bytes().to_vec()]);
        let (output, results) = load(&address, "-n 500 -c 2 --pipeline 4");
        let results = results.expect("results");
        assert_eq!(output.status.code(), Some(1), "no request got a good answer");
        assert_eq!((results.errors.len(), count(&results, ErrorKind::BadAnswer)), (1, 500), "{answer:?}");
    }
}

#[test]
fn answers_that_come_twice_count_once() {
    let address = service(|request| vec![request.to_vec(), request.to_vec()]);
    let (report, results) = results(&address, "-n 1000 -c 1");
    assert_eq!((results.requests, results.errors.len()), (1_000, 0), "{report}");
    // The last one's double comes after the end.
    assert!((990..=1_000).contains(&results.strays), "{report}");
    assert!(report.contains("Late or double answers"), "{report}");
}

#[test]
fn answers_that_come_late_are_lost_and_seen_as_late() {
    let server = Server::start("--delay 50%:0s,50%:200ms");
    let (report, results) = results(&server.address, "-c 8 --duration 1s --timeout 100ms");
    assert!(results.requests > 0 && count(&results, ErrorKind::Lost) > 0, "{report}");
    assert!(results.strays > 0, "{report}");
    assert!(results.latency.max_us < 150_000.0, "no late answer counts: {report}");
}

#[test]
fn answers_in_any_order_are_matched() {
    // Answers eight at a time, last first.
    let (sender, requests) = channel::<(Vec<u8>, SocketAddr)>();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound").to_string();
    let answering = socket.try_clone().expect("a copy");
    thread::spawn(move || {
        let mut request = [0; 2048];
        while let Ok((length, client)) = socket.recv_from(&mut request) {
            sender.send((request[..length].to_vec(), client)).expect("taken");
        }
    });
    thread::spawn(move || {
        let mut held = Vec::new();
        while let Ok(request) = requests.recv() {
            // The probe, which comes alone.
            let batch = if request.0.starts_with(b"xxxxxxxx") { 1 } else { 8 };
            held.push(request);
            if held.len() >= batch {
                held.drain(..).rev().for_each(|(request, client)| drop(answering.send_to(&request, client)));
            }
        }
    });
    let (report, results) = results(&address, "-n 800 -c 1 --pipeline 8");
    assert_eq!((results.requests, results.errors.len(), results.strays), (800, 0, 0), "{report}");
}

#[test]
fn a_delayed_answer_delays_no_other() {
    let server = Server::start("--delay 200ms");
    let (report, results) = results(&server.address, "-n 1000 -c 2 --pipeline 500");
    assert_eq!((results.requests, results.errors.len()), (1_000, 0), "{report}");
    assert!(results.latency.min_us >= 199_000.0, "{report}");
    assert!(results.seconds < 1.0, "one after the other would take 200 s: {report}");
}

#[test]
fn think_time_spaces_the_datagrams_of_a_socket() {
    let server = Server::start("");
    let (report, results) = results(&server.address, "-c 2 --duration 1s --think 20ms");
    assert!((60..=100).contains(&results.requests), "{report}");
}

#[test]
fn sizes_that_udp_does_not_have_are_refused() {
    for size in ["0", "7", "20000"] {
        let output =
            command(&format!("serve udp --listen 127.0.0.1:0 --response-size {size}")).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("--response-size"), "{output:?}");
    }
}
