//! What targets do with a connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;

use super::target::Handler;

/// How a target saw a connection end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Finished,
    Reset,
}

/// Says its name and closes.
pub fn identify(name: &str) -> Handler {
    let name = name.to_owned();
    Arc::new(move |mut stream| {
        // A health check is gone already.
        let _ = stream.write_all(name.as_bytes());
    })
}

/// Says its name as a line, then gives back what it gets, until the other side ends.
pub fn greet_and_echo(name: &str) -> Handler {
    greet_and_report(name).0
}

/// As `greet_and_echo`, and reports each end of a connection that got its greeting.
pub fn greet_and_report(name: &str) -> (Handler, Receiver<End>) {
    let name = name.to_owned();
    let (sender, ends) = mpsc::channel();
    let sender = Mutex::new(sender);
    let handler = Arc::new(move |mut stream: TcpStream| {
        if writeln!(stream, "{name}").is_err() {
            return;
        }
        let end = echo_until_end(&mut stream);
        // The test may not care.
        let _ = sender.lock().expect("send does not panic").send(end);
    });
    (handler, ends)
}

fn echo_until_end(stream: &mut TcpStream) -> End {
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return End::Finished,
            Ok(count) if stream.write_all(&bytes[..count]).is_ok() => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return End::Reset,
        }
    }
}

/// Waits for a byte, then resets: a process that dies on its first request.
pub fn reset_after_a_byte() -> Handler {
    Arc::new(|mut stream| {
        let _ = stream.read(&mut [0]);
        reset(stream);
    })
}

/// Hands each connection to the test.
pub fn hand_over() -> (Handler, Receiver<TcpStream>) {
    let (sender, streams) = mpsc::channel();
    let sender = Mutex::new(sender);
    let handler = Arc::new(move |stream: TcpStream| {
        stream.set_read_timeout(Some(super::PATIENCE)).expect("SO_RCVTIMEO");
        stream.set_write_timeout(Some(super::PATIENCE)).expect("SO_SNDTIMEO");
        // The test may be over.
        let _ = sender.lock().expect("send does not panic").send(stream);
    });
    (handler, streams)
}

/// Reads everything, finishes its own sending half way, and reports what it read.
pub fn answer_then_read(answer: &'static [u8]) -> (Handler, Receiver<Vec<u8>>) {
    let (sender, received) = mpsc::channel();
    let sender = Mutex::new(sender);
    let handler = Arc::new(move |mut stream: TcpStream| {
        let mut bytes = Vec::new();
        let answered = stream.write_all(answer).and_then(|()| stream.shutdown(Shutdown::Write));
        if answered.is_ok() && stream.read_to_end(&mut bytes).is_ok() {
            let _ = sender.lock().expect("send does not panic").send(bytes);
        }
    });
    (handler, received)
}

/// Closes with a reset.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    drop(stream);
}
