//! What makes no sense is refused ahead of the run, with what to do instead.

use crate::support::{Peer, Server, run};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_command_line_that_makes_no_sense_is_refused_with_a_hint() {
    for (line, word) in [
        ("http", "URL"),
        ("http example.com", "expected http://host/path"),
        ("http https://127.0.0.1/", "use http"),
        ("http http://127.0.0.1:1/ http://127.0.0.1:2/", "--connect-to"),
        ("http http://127.0.0.1:1/ --header broken", "Name: value"),
        ("http http://127.0.0.1:1/ --method GE(T", "such as GET"),
        ("http http://127.0.0.1:1/ --rate 0", "such as 500 or 20k"),
        ("http http://127.0.0.1:1/ --rate many", "such as 500 or 20k"),
        ("http http://127.0.0.1:1/ --duration 0s", "more than nothing"),
        ("http http://127.0.0.1:1/ --duration 5", "such as 500ms"),
        ("http http://127.0.0.1:1/ --connections 0", "--connections"),
        ("http http://127.0.0.1:1/ --plot out.png", ".svg or .html"),
        ("http http://127.0.0.1:1/ --source ::1", "another family"),
        ("http http://127.0.0.1:1/ --connections 1 --cores 0,1", "each of 2 cores"),
        ("http http://127.0.0.1:1/ --find-max", "--slo"),
        ("http http://127.0.0.1:1/ --find-max --slo p99", "p99<5ms"),
        ("tcp 127.0.0.1", "HOST:PORT"),
        ("serve http --delay 5", "90%:1ms"),
        ("serve http --error-rate 5", "such as 1%"),
        ("serve udp --response-size 7", "8 to"),
        ("serve http --stall 2s --stall-every 1s", "shorter than --stall-every"),
        ("compare only-one.json", "B.json"),
        ("frobnicate", "--help"),
    ] {
        let ran = run(line);
        assert_eq!(ran.code, Some(2), "{line}: {}", ran.err);
        assert!(ran.err.contains(word), "{line}: {word:?} is not in: {}", ran.err);
        assert!(ran.out.is_empty(), "{line}: {}", ran.out);
    }
}

#[test]
fn help_names_every_command_on_stdout() {
    let ran = run("--help");
    assert_eq!(ran.code, Some(0));
    for command in ["http", "tcp", "udp", "serve", "compare"] {
        assert!(ran.out.contains(command), "{}", ran.out);
    }
}

#[test]
fn a_core_that_is_not_there_is_refused_by_its_number() {
    let peer = Peer::answering(OK);
    run(&format!("http {} --cores 0,4095 --connections 4", peer.url())).complains(1, &["4095", "not a core"]);
    run("serve http --cores 4095 --listen 127.0.0.1:0").complains(1, &["4095", "not a core"]);
    assert!(peer.heard().is_empty());
}

#[test]
fn more_connections_than_descriptors_are_refused_with_how_to_raise_the_limit() {
    let peer = Peer::answering(OK);
    let ran = run(&format!("http {} --connections 4000000000", peer.url()));
    ran.complains(1, &["--connections 4000000000", "ulimit -n"]);
    assert!(peer.heard().is_empty());
}

/// RFC 5737: an address that no host has.
#[test]
fn an_address_that_is_not_ours_is_no_source() {
    let peer = Peer::answering(OK);
    let ran = run(&format!("http {} --source 127.0.0.1,203.0.113.7", peer.url()));
    ran.complains(1, &["--source 203.0.113.7", "ip address"]);
    assert!(peer.heard().is_empty());
}

#[test]
fn where_nobody_listens_there_is_an_error_and_no_run() {
    // A port that was free a moment ago.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    for line in [format!("http http://{gone}/"), format!("tcp {gone}")] {
        let ran = run(&line);
        ran.complains(1, &[&gone.to_string(), "refused", "is the service running there?"]);
        assert!(ran.out.is_empty(), "{}", ran.out);
        assert!(ran.took.as_secs() < 10, "{:?}", ran.took);
    }
}

#[test]
fn an_output_that_cannot_be_written_is_known_before_the_run() {
    let peer = Peer::answering(OK);
    for option in ["--json /nonexistent/a.json", "--hgrm /nonexistent/a.hgrm", "--plot /nonexistent/a.svg", "--json /"]
    {
        let path = option.split(' ').nth(1).expect("two words");
        run(&format!("http {} --duration 1s {option}", peer.url())).complains(1, &[path, "cannot be written"]);
    }
    assert!(peer.heard().is_empty());
}

#[test]
fn a_body_file_that_is_not_there_is_named() {
    run("http http://127.0.0.1:1/ --body-file /nonexistent/body").complains(1, &["/nonexistent/body", "No such file"]);
}

/// As the kernel lists them: one listening socket a core, of one port.
#[test]
fn a_server_on_two_cores_takes_one_free_port_for_both() {
    let server = Server::start("http --cores 0,1");
    let port = format!(":{:04X} ", server.address.port());
    let listed = std::fs::read_to_string("/proc/net/tcp").expect("/proc");
    let listening = listed.lines().filter(|line| line.contains(&port) && line.contains(" 0A ")).count();
    assert_eq!(listening, 2, "{listed}");
}

#[test]
fn a_server_whose_port_is_taken_says_how_to_take_another() {
    for protocol in ["http", "tcp", "udp"] {
        let first = Server::start(protocol);
        let ran = run(&format!("serve {protocol} --listen {}", first.address));
        ran.complains(1, &[&first.address.to_string(), "--listen"]);
    }
}
