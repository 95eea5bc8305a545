//! The writer and its files: nothing is lost by a rotation, a rename or a change of the config; a full disk is survived.

use std::fs::{self, File};
use std::io::Read;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::super::output::{Appender, Output, count_lines};
use super::super::sink::{Recording, Sink};
use super::super::writer::{ApplyError, Writer};
use super::*;

const LIMIT: Duration = Duration::from_secs(20);

/// A writer and one sink that records.
fn started(access_log: &AccessLog) -> (Writer, Sink) {
    let writer = Writer::start(1).unwrap();
    writer.apply(Some(access_log)).unwrap();
    let mut sink = writer.sink(0);
    sink.set_recording(Recording::On);
    (writer, sink)
}

fn record(sink: &mut Sink, number: u64) {
    sink.record(&Entry { connection: number, ..connection() });
    sink.flush();
}

/// Numbers of the connections in a file of JSON lines.
fn numbers(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "half a line");
    text.lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["connection"].as_u64().unwrap())
        .collect()
}

fn stop(writer: &Writer, mut sink: Sink) {
    sink.close();
    writer.stop(LIMIT);
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn r_m3_what_is_queued_at_a_stop_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let (writer, mut sink) = started(&to_file(&path));
    (0..3_000).for_each(|number| sink.record(&Entry { connection: number, ..connection() }));
    stop(&writer, sink);
    assert_eq!(numbers(&path), (0..3_000).collect::<Vec<_>>());
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode & !0o640, 0, "{mode:o}: not for everyone");
}

#[test]
fn a_stop_does_not_wait_for_ever_for_a_shard_that_keeps_its_sink() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let (writer, mut sink) = started(&to_file(&path));
    record(&mut sink, 1);
    writer.stop(LIMIT);
    assert_eq!(numbers(&path), [1]);
    record(&mut sink, 2);
    assert_eq!(sink.counts().dropped, 1, "there is nobody any more");
}

#[test]
fn r_m3_rotation_keeps_so_many_files_and_loses_no_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let to = LogTo::File { path: path.clone(), rotate_bytes: NonZeroU64::new(4_000), rotate_keep: 3 };
    let (writer, mut sink) = started(&AccessLog { to, format: LogFormat::Json });
    // About 380 bytes each: 10 in a file.
    for number in 0..100 {
        sink.record(&Entry { connection: number, ..connection() });
        if number % 7 == 0 {
            sink.flush();
        }
    }
    stop(&writer, sink);
    let file = |number: u64| directory.path().join(format!("access.log.{number}"));
    let mut kept = Vec::new();
    for path in [file(3), file(2), file(1), path] {
        assert!(fs::metadata(&path).unwrap().len() <= 4_000);
        kept.extend(numbers(&path));
    }
    assert!(!file(4).exists());
    assert_eq!(*kept.last().unwrap(), 99);
    assert_eq!(kept, (kept[0]..100).collect::<Vec<_>>(), "in order, with no gap");
    assert!(kept.len() > 30, "{}: three whole files, and the last one", kept.len());
}

#[test]
fn a_restart_goes_on_with_the_file_and_its_size() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let to = LogTo::File { path: path.clone(), rotate_bytes: NonZeroU64::new(1_200), rotate_keep: 1 };
    for number in 0..4 {
        let (writer, mut sink) = started(&AccessLog { to: to.clone(), format: LogFormat::Json });
        record(&mut sink, number);
        stop(&writer, sink);
    }
    assert_eq!(numbers(&directory.path().join("access.log.1")), [0, 1, 2]);
    assert_eq!(numbers(&path), [3]);
}

#[test]
fn a_line_longer_than_a_whole_file_is_a_file_of_its_own_and_keeping_none_removes_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let to = LogTo::File { path: path.clone(), rotate_bytes: NonZeroU64::new(10), rotate_keep: 0 };
    let (writer, mut sink) = started(&AccessLog { to, format: LogFormat::Json });
    (0..3).for_each(|number| record(&mut sink, number));
    stop(&writer, sink);
    assert_eq!(numbers(&path), [2]);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_cannot_be_set_aside_grows_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    // Nothing can be renamed over a directory that is not empty.
    fs::create_dir_all(directory.path().join("access.log.1/x")).unwrap();
    let to = LogTo::File { path: path.clone(), rotate_bytes: NonZeroU64::new(1_000), rotate_keep: 1 };
    let (writer, mut sink) = started(&AccessLog { to, format: LogFormat::Json });
    (0..20).for_each(|number| record(&mut sink, number));
    stop(&writer, sink);
    assert_eq!(numbers(&path), (0..20).collect::<Vec<_>>());
    assert_eq!(writer.counts().dropped, 0);
}

#[test]
fn r_m3_after_a_rename_and_a_reopen_lines_go_to_a_new_file() {
    let directory = tempfile::tempdir().unwrap();
    let (path, renamed) = (directory.path().join("access.log"), directory.path().join("access.log-20260101"));
    let (writer, mut sink) = started(&to_file(&path));
    record(&mut sink, 1);
    wait_until("the line", || numbers(&path) == [1]);
    fs::rename(&path, &renamed).unwrap();
    record(&mut sink, 2);
    writer.reopen();
    record(&mut sink, 3);
    stop(&writer, sink);
    assert_eq!(numbers(&renamed), [1, 2], "what was recorded before goes to the old one");
    assert_eq!(numbers(&path), [3]);
}

#[test]
fn a_file_that_is_full_once_it_was_renamed_gives_way_to_a_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let (path, renamed) = (directory.path().join("access.log"), directory.path().join("access.log-20260101"));
    let to = LogTo::File { path: path.clone(), rotate_bytes: NonZeroU64::new(1_000), rotate_keep: 2 };
    let (writer, mut sink) = started(&AccessLog { to, format: LogFormat::Json });
    record(&mut sink, 1);
    wait_until("the line", || numbers(&path) == [1]);
    fs::rename(&path, &renamed).unwrap();
    let set_aside = [1, 2].map(|number| directory.path().join(format!("access.log.{number}")));
    set_aside.iter().for_each(|path| fs::write(path, path.to_str().unwrap()).unwrap());
    // About 380 bytes each: two in a file.
    (2..4).for_each(|number| record(&mut sink, number));
    stop(&writer, sink);
    assert_eq!((numbers(&renamed), numbers(&path)), (vec![1, 2], vec![3]));
    for path in set_aside {
        assert_eq!(fs::read_to_string(&path).unwrap(), path.to_str().unwrap(), "none goes where none comes");
    }
}

#[test]
fn a_reopen_that_fails_keeps_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (inner, moved) = (directory.path().join("log"), directory.path().join("moved"));
    fs::create_dir(&inner).unwrap();
    let (writer, mut sink) = started(&to_file(&inner.join("access.log")));
    fs::rename(&inner, &moved).unwrap();
    writer.reopen();
    record(&mut sink, 1);
    stop(&writer, sink);
    assert_eq!(numbers(&moved.join("access.log")), [1]);
}

#[test]
fn r_m3_a_change_of_path_or_format_loses_nothing_and_a_bad_one_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = ["a.log", "b.log"].map(|name| directory.path().join(name));
    let (writer, mut sink) = started(&to_file(&first));
    record(&mut sink, 1);
    let error = writer.apply(Some(&to_file(&directory.path().join("none/c.log")))).unwrap_err();
    assert!(matches!(error, ApplyError::Open(_)));
    let message = error.to_string();
    assert!(message.contains("none/c.log") && message.contains("make its directory"), "{message}");
    record(&mut sink, 2);
    writer.apply(Some(&to_file(&second))).unwrap();
    record(&mut sink, 3);
    writer.apply(Some(&AccessLog { format: LogFormat::Alb, ..to_file(&second) })).unwrap();
    record(&mut sink, 4);
    sink.set_recording(Recording::Off);
    writer.apply(None).unwrap();
    writer.apply(Some(&to_file(&first))).unwrap();
    sink.set_recording(Recording::On);
    record(&mut sink, 5);
    stop(&writer, sink);
    assert_eq!(numbers(&first), [1, 2, 5]);
    let text = fs::read_to_string(&second).unwrap();
    let kinds: Vec<&str> = text.lines().map(|line| &line[..4]).collect();
    assert_eq!(kinds, ["{\"ti", "tcp "]);
}

#[test]
fn r_m3_a_full_disk_costs_lines_which_are_counted_and_with_room_the_log_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    symlink("/dev/full", &path).unwrap();
    let (writer, mut sink) = started(&to_file(&path));
    record(&mut sink, 1);
    record(&mut sink, 2);
    wait_until("the lines are counted", || writer.counts().dropped == 2);
    assert!((1..=2).contains(&writer.counts().errors));
    fs::remove_file(&path).unwrap();
    writer.reopen();
    record(&mut sink, 3);
    stop(&writer, sink);
    assert_eq!(numbers(&path), [3]);
    assert_eq!(writer.counts().dropped, 2);
}

#[test]
fn half_a_line_that_a_failed_write_left_ends_before_the_next_line() {
    let (ours, mut reader) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut output = Output::Stdout(Appender::new(File::from(OwnedFd::from(ours))));
    // No socket has room for so much, and nobody reads.
    let line = [&[b'a'; 999][..], b"\n"].concat();
    let written = output.write(&line.repeat(4_000));
    assert!(written.error.is_some());
    let mut read = vec![0; 8 << 20];
    let count = reader.read(&mut read).unwrap();
    reader.set_nonblocking(true).unwrap();
    let mut all = read[..count].to_vec();
    while let Ok(count) = reader.read(&mut read) {
        all.extend_from_slice(&read[..count]);
    }
    assert_eq!(written.lines, count_lines(&all));
    let is_half = !all.ends_with(b"\n");
    assert!(output.write(b"next\n").error.is_none());
    let count = reader.read(&mut read).unwrap();
    assert_eq!(&read[..count], if is_half { &b"\nnext\n"[..] } else { b"next\n" });
}
