//! Clients: blocking sockets with generous timeouts, and what they make of an end.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::PATIENCE;

/// A connected client that never waits forever.
pub fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    with_timeouts(TcpStream::connect_timeout(&to, PATIENCE)?)
}

/// As `connect`, from a source address of the test's choice.
pub fn connect_from(source: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&source.into())?;
    socket.connect_timeout(&to.into(), PATIENCE)?;
    with_timeouts(socket.into())
}

fn with_timeouts(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Everything that the other side sends until it ends.
pub fn ask(to: SocketAddr) -> io::Result<String> {
    let mut answer = String::new();
    connect(to)?.read_to_string(&mut answer)?;
    if answer.is_empty() {
        Err(io::Error::new(ErrorKind::UnexpectedEof, "ended without an answer"))
    } else {
        Ok(answer)
    }
}

/// A connection to a target that greets with its name, and the name.
pub fn greeted(to: SocketAddr) -> io::Result<(TcpStream, String)> {
    let stream = connect(to)?;
    let mut name = String::new();
    // One byte at a time would do as well; nothing but the greeting is sent before we write.
    BufReader::new(&stream).read_line(&mut name)?;
    if name.ends_with('\n') { Ok((stream, name.trim_end().to_owned())) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// Sends `bytes` and reads as many back; an error unless they are the same.
pub fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer)?;
    if answer == bytes { Ok(()) } else { Err(io::Error::other("not what was sent")) }
}

/// Reads on until the end: `Ok` is an ordered end.
pub fn read_to_the_end(stream: &mut TcpStream) -> io::Result<usize> {
    io::copy(stream, &mut io::sink()).map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// Whether the next thing that the client sees is a reset.
pub fn sees_reset(stream: &mut TcpStream) -> bool {
    is_reset(&read_to_the_end(stream))
}

/// Whether a newcomer is accepted and reset. The reset may be there before the client has noticed that it is connected.
pub fn newcomer_is_reset(connected: io::Result<TcpStream>) -> bool {
    is_reset(&connected.and_then(|mut stream| read_to_the_end(&mut stream)))
}

pub fn is_reset<T>(outcome: &io::Result<T>) -> bool {
    matches!(outcome, Err(error) if error.kind() == ErrorKind::ConnectionReset)
}
