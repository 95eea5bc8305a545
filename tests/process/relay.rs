//! Bytes in both directions: whole, in order, half-closed, reset, and held back by a slow reader.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::support::config::Config;
use crate::support::handlers::{self, End};
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{PATIENCE, client, place, wait_until};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// A prime, so that no buffer boundary of anybody falls on the pattern's.
const PATTERN_BYTES: usize = 999_983;

#[test]
#[ignore = "long: ./x test runs it"]
fn r_l2_1_gib_each_way_at_once_arrives_whole_and_in_order() {
    let _turn = place::turn();
    let (hand_over, streams) = handlers::hand_over();
    let target = Target::start(hand_over);
    let (config, web) = Config::relay(&[target.address]);
    let _weir = Weir::start(config);
    let client_side = client::connect(web).expect("it listens");
    let target_side = streams.recv_timeout(PATIENCE).expect("a connection");
    let (to_target, to_client) = (send(&client_side, GIB, 1), send(&target_side, GIB, 2));
    let (at_target, at_client) = (receive(&target_side), receive(&client_side));
    let joined = |thread: JoinHandle<(u64, [u8; 32])>| thread.join().expect("no side failed");
    let (sent, received) = (joined(to_target), joined(at_target));
    assert_eq!(sent.0, GIB);
    assert_eq!(sent, received, "client to target");
    assert_eq!(joined(to_client), joined(at_client), "target to client");
}

/// Sends bytes that never repeat at any power of two, ends its direction, and tells their count and hash.
fn send(stream: &TcpStream, bytes: u64, seed: u64) -> JoinHandle<(u64, [u8; 32])> {
    let mut stream = stream.try_clone().expect("dup");
    thread::spawn(move || {
        let (pattern, mut hash, mut left) = (pattern(seed), Sha256::new(), bytes);
        while left > 0 {
            let piece = &pattern[..usize::try_from(left).unwrap_or(usize::MAX).min(PATTERN_BYTES)];
            stream.write_all(piece).expect("the other side reads");
            hash.update(piece);
            left -= piece.len() as u64;
        }
        stream.shutdown(Shutdown::Write).expect("it is open");
        (bytes, hash.finalize().into())
    })
}

fn receive(stream: &TcpStream) -> JoinHandle<(u64, [u8; 32])> {
    let mut stream = stream.try_clone().expect("dup");
    thread::spawn(move || {
        let (mut buffer, mut hash, mut bytes) = (vec![0; 256 * 1024], Sha256::new(), 0);
        loop {
            match stream.read(&mut buffer).expect("no reset") {
                0 => return (bytes, hash.finalize().into()),
                count => {
                    hash.update(&buffer[..count]);
                    bytes += count as u64;
                }
            }
        }
    })
}

/// Xorshift: all it must be is hard to confuse with a shifted copy of itself.
fn pattern(seed: u64) -> Vec<u8> {
    let mut word = seed;
    let mut next = || {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word.to_le_bytes()[3]
    };
    (0..PATTERN_BYTES).map(|_| next()).collect()
}

#[test]
fn r_l2_after_the_client_has_finished_the_target_still_answers() {
    let (hand_over, streams) = handlers::hand_over();
    let target = Target::start(hand_over);
    let (config, web) = Config::relay(&[target.address]);
    let weir = Weir::start(config);
    let mut client_side = client::connect(web).expect("it listens");
    let mut target_side = streams.recv_timeout(PATIENCE).expect("a connection");
    client_side.write_all(b"all I have").expect("sent");
    client_side.shutdown(Shutdown::Write).expect("open");
    let mut question = String::new();
    target_side.read_to_string(&mut question).expect("the client's end arrives");
    assert_eq!(question, "all I have");
    target_side.write_all(b"and the answer").expect("this direction is open");
    drop(target_side);
    let mut answer = String::new();
    client_side.read_to_string(&mut answer).expect("an ordered end");
    assert_eq!(answer, "and the answer");
    wait_until("it is counted", || weir.metric("weir_connections_closed_total", &[("reason", "completed")]) > 0);
}

#[test]
fn r_l2_after_the_target_has_finished_the_client_may_still_send() {
    let (answer_then_read, received) = handlers::answer_then_read(b"that is all");
    let target = Target::start(answer_then_read);
    let (config, web) = Config::relay(&[target.address]);
    let _weir = Weir::start(config);
    let mut stream = client::connect(web).expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the target's end arrives");
    assert_eq!(answer, "that is all");
    stream.write_all(b"a long reply").expect("this direction is open");
    drop(stream);
    assert_eq!(received.recv_timeout(PATIENCE).expect("it reads to the end"), b"a long reply");
}

#[test]
fn r_l2_a_reset_by_the_target_reaches_the_client_as_a_reset() {
    let target = Target::start(handlers::reset_after_a_byte());
    let (config, web) = Config::relay(&[target.address]);
    let weir = Weir::start(config);
    let mut stream = client::connect(web).expect("it listens");
    stream.write_all(b"x").expect("sent");
    assert!(client::sees_reset(&mut stream));
    wait_until("it is counted", || weir.metric("weir_connections_closed_total", &[("reason", "target_failed")]) > 0);
}

#[test]
fn r_l2_a_reset_by_the_client_reaches_the_target_as_a_reset() {
    let (greet, ends) = handlers::greet_and_report("a");
    let target = Target::start(greet);
    let (config, web) = Config::relay(&[target.address]);
    let weir = Weir::start(config);
    let (stream, _) = client::greeted(web).expect("a greeting");
    handlers::reset(stream);
    assert_eq!(ends.recv_timeout(PATIENCE), Ok(End::Reset));
    wait_until("it is counted", || weir.metric("weir_connections_closed_total", &[("reason", "client_failed")]) > 0);
}

/// Nothing of the sender is being received while its bytes have nowhere to go: its reset must be noticed all the same.
#[test]
fn r_l2_a_reset_of_a_client_whose_target_does_not_read_reaches_the_target() {
    let (web, weir, streams, _target) = patient_relay();
    let client_side = client::connect(web).expect("it listens");
    let target_side = streams.recv_timeout(PATIENCE).expect("a connection");
    reset_reaches_a_blocked_reader(&weir, client_side, &target_side);
    assert_eq!(weir.metric("weir_connections_closed_total", &[("reason", "client_failed")]), 1);
}

#[test]
fn r_l2_a_reset_of_a_target_whose_client_does_not_read_reaches_the_client() {
    let (web, weir, streams, _target) = patient_relay();
    let client_side = client::connect(web).expect("it listens");
    let target_side = streams.recv_timeout(PATIENCE).expect("a connection");
    reset_reaches_a_blocked_reader(&weir, target_side, &client_side);
    assert_eq!(weir.metric("weir_connections_closed_total", &[("reason", "target_failed")]), 1);
}

/// With an idle timeout far longer than a test waits for anything.
fn patient_relay() -> (SocketAddr, Weir, Receiver<TcpStream>, Target) {
    let (hand_over, streams) = handlers::hand_over();
    let target = Target::start(hand_over);
    let (mut config, web) = Config::relay(&[target.address]);
    config.listeners[0].keys = "idle_timeout = \"10m\"".into();
    (web, Weir::start(config), streams, target)
}

fn reset_reaches_a_blocked_reader(weir: &Weir, sender: TcpStream, reader: &TcpStream) {
    let (sender, sent, _) = push_until_blocked(sender).join().expect("no side failed");
    println!("blocked after {} KiB", sent / 1024);
    assert!(weir.metric("weir_ring_buffers_leased", &[]) > 0, "some of it is held");
    handlers::reset(sender);
    // Without a read: the reader reads nothing.
    let reset =
        || reader.take_error().expect("SO_ERROR").is_some_and(|error| error.kind() == ErrorKind::ConnectionReset);
    wait_until("the other side is reset", reset);
    weir.wait_for_connections(0);
    wait_until("buffers are given back", || weir.metric("weir_ring_buffers_leased", &[]) == 0);
}

/// What a stalled direction may hold in user space. Its queues and the buffer in hand are 13 buffers of 16 KiB; a multishot
/// receive fills up to 64 more before its cancel gets through, once, few of them on average.
const DIRECTION_BYTES_MAX: u64 = MIB / 2;
/// What a shard keeps at hand for receives once it had to: src/ring/buffers.rs.
const POOL_BYTES: u64 = 24 * MIB;
const STALLED: u64 = 128;

#[test]
#[ignore = "long: ./x test runs it"]
fn r_k5_stalled_readers_do_not_grow_memory_and_lose_nothing() {
    let _turn = place::turn();
    let (hand_over, streams) = handlers::hand_over();
    let (target, lively) = (Target::start(hand_over), Target::start(handlers::greet_and_echo("lively")));
    let (config, web) = Config::relay(&[target.address]);
    let other = place::free();
    let group = crate::support::config::Group::new("other").target(lively.address, 10);
    let weir = Weir::start(config.shards(1).listener("other", other, "other").group(group));
    let (mut neighbour, _) = client::greeted(other).expect("a greeting");
    let before = weir.resident_bytes();

    let connect = || client::connect(web).expect("it listens");
    let senders: Vec<_> = (0..STALLED).map(|_| push_until_blocked(connect())).collect();
    let stalled: Vec<_> = senders.into_iter().map(|sender| sender.join().expect("no side failed")).collect();
    let grown = weir.resident_bytes().saturating_sub(before);
    let pushed: u64 = stalled.iter().map(|(_, bytes, _)| bytes).sum();
    println!("{} MiB pushed against {STALLED} stalled readers, {} KiB of memory", pushed / MIB, grown / 1024);
    assert!(grown <= STALLED * DIRECTION_BYTES_MAX + POOL_BYTES, "{grown} bytes for {STALLED} stalled readers");
    client::exchange(&mut neighbour, b"not my stall").expect("others are served");

    let receivers: Vec<_> = (0..STALLED).map(|_| receive(&streams.recv_timeout(PATIENCE).expect("one each"))).collect();
    let end = |(stream, bytes, hash): (TcpStream, _, _)| {
        stream.shutdown(Shutdown::Write).expect("open");
        (bytes, hash)
    };
    let mut sent: Vec<_> = stalled.into_iter().map(end).collect();
    let mut received: Vec<_> = receivers.into_iter().map(|thread| thread.join().expect("no reset")).collect();
    sent.sort_unstable();
    received.sort_unstable();
    assert_eq!(sent, received, "what was held back arrives");
}

/// Sends until nobody has taken anything for two seconds; what it could send, and the hash of it.
fn push_until_blocked(mut stream: TcpStream) -> JoinHandle<(TcpStream, u64, [u8; 32])> {
    thread::spawn(move || {
        stream.set_write_timeout(Some(Duration::from_secs(2))).expect("SO_SNDTIMEO");
        let (pattern, mut hash, mut sent) = (pattern(3), Sha256::new(), 0);
        for at in (0..PATTERN_BYTES).cycle().step_by(4096) {
            let piece = &pattern[at..PATTERN_BYTES.min(at + 4096)];
            match stream.write(piece) {
                Ok(count) => {
                    hash.update(&piece[..count]);
                    sent += count as u64;
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => panic!("{error}"),
            }
        }
        (stream, sent, hash.finalize().into())
    })
}
