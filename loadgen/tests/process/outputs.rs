//! What is written: for people, for programs, for reports.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{BINARY, Loadgen, Peer, Server, load, run};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn json_has_every_field_that_programs_read() {
    let server = Server::start("http --delay 1ms");
    let ran = load(&format!("http {} --rate 200 --connections 2 --duration 1s", server.url()));
    ran.good();
    let json = ran.json();
    assert_eq!(json["format"], 1);
    assert_eq!(json["settings"]["mode"], "http");
    assert_eq!(json["settings"]["rate"], 200.0);
    assert_eq!(json["settings"]["connections"], 2);
    assert_eq!(json["end"]["how"], "complete");
    assert_eq!(json["seconds"], 1.0);
    assert_eq!(json["requests"], 200);
    assert_eq!(json["statuses"]["2xx"], 200);
    for side in ["latency", "service"] {
        for name in ["mean", "stddev", "min", "p50", "p75", "p90", "p95", "p99", "p99_9", "p99_99", "max"] {
            assert!(json[side][format!("{name}_us")].is_f64(), "{side} {name}: {json}");
        }
        assert!(json[side]["histogram"].as_str().is_some_and(|text| text.starts_with("HIST")), "{side}: {json}");
    }
    let series = json["series"].as_array().expect("a series");
    assert!((10..=12).contains(&series.len()), "a tenth of a second each: {}", series.len());
}

#[test]
fn every_output_is_written_and_well_formed() {
    let server = Server::start("http --delay 1ms");
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let outputs = format!("--json {} --hgrm {} --plot {}", path("a.json"), path("a.hgrm"), path("a.svg"));
    let ran = run(&format!("http {} --rate 200 --connections 2 --duration 1s {outputs}", server.url()));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.is_empty(), "no bar where nobody looks: {}", ran.err);
    assert!(ran.out.starts_with("HTTP load on http://127.0.0.1:"), "{}", ran.out);
    let hgrm = fs::read_to_string(path("a.hgrm")).expect("a distribution");
    let rows = hgrm.lines().skip(2).take_while(|line| !line.starts_with('#')).map(str::split_whitespace);
    let last = rows.last().expect("rows").collect::<Vec<_>>();
    assert_eq!(last[1..], ["1.000000000000", "200"], "{hgrm}");
    check_svg(&fs::read_to_string(path("a.svg")).expect("a figure"));

    run(&format!("http {} -n 100 --plot {} --quiet", server.url(), path("a.html")));
    let page = fs::read_to_string(path("a.html")).expect("a page");
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"), "{page}");
    assert!(page.contains("<svg") && page.contains("Good answers"), "{page}");
}

#[test]
fn quiet_says_nothing() {
    let peer = Peer::answering(OK);
    let ran = run(&format!("http {} -n 10 -c 1 --quiet", peer.url()));
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""));
}

#[test]
fn two_runs_are_compared() {
    let server = Server::start("http --delay 1ms");
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    for (name, line) in [("a", "--rate 100"), ("b", "--rate 200")] {
        let json = path(&format!("{name}.json"));
        let ran = run(&format!("http {} {line} -c 2 --duration 1s --json {json}", server.url()));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
    let (a, b, figure) = (path("a.json"), path("b.json"), path("both.svg"));
    let ran = run(&format!("compare {a} {b} --plot {figure}"));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let row = ran.out.lines().find(|line| line.starts_with("Good answers ")).expect("a row");
    assert_eq!(row.split_whitespace().skip(2).collect::<Vec<_>>(), ["100", "200"], "{}", ran.out);
    assert!(ran.out.contains("p99.9") && ran.out.contains("100 requests/s against 200 requests/s"), "{}", ran.out);
    check_svg(&fs::read_to_string(figure).expect("a figure"));

    run(&format!("compare {a} {}", path("none.json"))).complains(1, &["none.json", "No such file"]);
    run(&format!("compare {a} /dev/null")).complains(1, &["not JSON", "--json"]);
}

/// As `weir-loadgen ... | head -1` leaves it.
#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let peer = Peer::answering(OK);
    let line = format!("http {} -n 10 -c 1", peer.url());
    let mut process = Command::new(BINARY)
        .args(line.split(' '))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(process.stdout.take());
    let output = process.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.as_ref()), (Some(0), ""));
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    let peer = Peer::answering(OK);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a full disk");
    let line = format!("http {} -n 10 -c 1", peer.url());
    let output = Command::new(BINARY).args(line.split(' ')).stdout(full).output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left") && !said.contains("panicked"), "{said}");
}

/// Root, size, and every element closed in its turn.
fn check_svg(text: &str) {
    assert!(text.trim_start().starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{text}");
    assert!(text.contains("width=\"") && text.contains("height=\""), "{text}");
    assert!(text.len() > 5_000, "{} bytes", text.len());
    let mut open = Vec::new();
    for tag in text.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = |tag: &str| tag.split_whitespace().next().unwrap_or_default().to_owned();
        match tag.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(name(closed)), "closed in turn"),
            None if tag.ends_with('/') || tag.starts_with(['!', '?']) => {}
            None => open.push(name(tag)),
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}

#[test]
fn what_may_be_secret_is_not_in_the_results() {
    let server = Server::start("http");
    let url = server.url();
    let secrets =
        ["-H", "Authorization: Bearer s3cret", "--header=Cookie: s3cret", "-HX-Key: s3cret", "--body", "s3cret"];
    let dir = tempfile::tempdir().expect("a directory");
    let json = dir.path().join("r.json").display().to_string();
    let mut arguments = vec!["http", &url, "--count", "10", "--json", &json];
    arguments.extend(secrets);
    let ran = Loadgen::start(&arguments).wait();
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let text = std::fs::read_to_string(json).expect("it was written");
    assert!(!text.contains("s3cret") && text.contains("--count 10"), "{text}");
}

#[test]
fn a_name_that_is_no_text_is_no_panic() {
    use std::os::unix::ffi::OsStrExt;
    let server = Server::start("http");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join(std::ffi::OsStr::from_bytes(b"r\xff.json"));
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_weir-loadgen"))
        .args(["http", &server.url(), "--count", "10", "--quiet", "--json"])
        .arg(&file)
        .status()
        .expect("it starts");
    assert!(status.success() && file.exists(), "{status}");
}
