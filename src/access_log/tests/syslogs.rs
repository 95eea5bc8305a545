//! Lines to a syslog that the test plays.

use std::os::unix::net::UnixDatagram;

use super::super::output::Output;
use super::super::syslog::{LINE_BYTES_MAX, Syslog};
use super::super::writer::Destination;
use super::*;

fn received(syslog: &UnixDatagram) -> String {
    let mut datagram = vec![0; 64 << 10];
    let count = syslog.recv(&mut datagram).unwrap();
    String::from_utf8(datagram[..count].to_vec()).unwrap()
}

#[test]
fn r_m3_each_line_is_a_datagram_with_its_priority_and_our_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let listening = UnixDatagram::bind(&path).unwrap();
    let mut syslog = Syslog::open(&path).unwrap();
    let written = syslog.write(b"one\ntwo\n");
    assert_eq!((written.lines, written.error.is_some()), (2, false));
    let head = format!("<134>weir[{}]: ", std::process::id());
    assert_eq!(received(&listening), format!("{head}one"));
    assert_eq!(received(&listening), format!("{head}two"));
}

#[test]
fn a_syslog_that_was_restarted_is_found_again_and_one_that_is_gone_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let listening = UnixDatagram::bind(&path).unwrap();
    let mut syslog = Syslog::open(&path).unwrap();
    drop(listening);
    std::fs::remove_file(&path).unwrap();
    let lost = syslog.write(b"one\ntwo\n");
    assert_eq!((lost.lines, lost.error.is_some()), (0, true));
    let listening = UnixDatagram::bind(&path).unwrap();
    assert_eq!(syslog.write(b"three\n").lines, 1);
    assert!(received(&listening).ends_with(": three"));
}

#[test]
fn a_host_without_a_syslog_is_told_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let error = Syslog::open(&directory.path().join("log")).unwrap_err().to_string();
    assert!(error.contains("start a syslog on this host"), "{error}");
}

#[test]
fn a_line_too_long_for_syslog_is_cut_in_its_texts_and_stays_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let _listening = UnixDatagram::bind(&path).unwrap();
    // The worst: each byte becomes six.
    let long = vec![b'\x01'; 16 << 10];
    let what = What::Request(Request {
        line: Line::Parsed { method: &long[..64], uri: &long, version: "HTTP/1.1" },
        host: &long[..255],
        user_agent: &long,
        trace_id: &long,
        domain_name: &long[..255],
        redirect_url: &long,
        transformed_host: &long[..255],
        transformed_uri: &long,
        ..request()
    });
    for format in [LogFormat::Json, LogFormat::Alb] {
        let destination = Destination { output: Output::Syslog(Syslog::open(&path).unwrap()), format };
        let mut line = Vec::new();
        destination.format(&entry(&what), &ORIGIN, &mut line);
        assert!((3 << 10..LINE_BYTES_MAX).contains(&line.len()), "{}", line.len());
        assert!(line.ends_with(b"\n"));
        let mut short = Vec::new();
        destination.format(&connection(), &ORIGIN, &mut short);
        assert!(short.len() < 600);
    }
}
