//! A target of the demo: the least of an HTTP/1.1 server, a thread a connection. It says who it is, whatever is asked.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Connections at once, each with a thread; further ones are closed.
const CONNECTIONS_MAX: usize = 1024;
/// Bytes of a request's head.
const HEAD_BYTES_MAX: u64 = 16 * 1024;
/// Bytes of a request's body, which is read and thrown away.
const BODY_BYTES_MAX: u64 = 1 << 20;
/// A client that is silent for so long is left.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Enough for a few lines of HTTP.
const STACK_BYTES: usize = 64 * 1024;

/// Answers every request on `listener` with `body`, until the process ends.
pub(super) fn start(listener: TcpListener, body: String) {
    let body: Arc<str> = body.into();
    thread::spawn(move || {
        let open = Arc::new(AtomicUsize::new(0));
        for client in listener.incoming().flatten() {
            serve_in_thread(client, &open, &body);
        }
    });
}

fn serve_in_thread(client: TcpStream, open: &Arc<AtomicUsize>, body: &Arc<str>) {
    if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
        open.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let place = Place(Arc::clone(open));
    let body = Arc::clone(body);
    // Without a thread the closure is dropped, and with it the connection and its place.
    let _ = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let _place = place;
        // How a client's connection ends is the client's business.
        let _ = serve(&client, &body);
    });
}

/// One of the connections that are open.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn serve(client: &TcpStream, body: &str) -> io::Result<()> {
    client.set_read_timeout(Some(SILENCE_MAX))?;
    client.set_write_timeout(Some(SILENCE_MAX))?;
    client.set_nodelay(true)?;
    let mut reader = BufReader::new(client);
    let mut writer = client;
    while let Some(request) = read_head(&mut reader)? {
        io::copy(&mut (&mut reader).take(request.body_bytes), &mut io::sink())?;
        writer.write_all(answer(&request, body).as_bytes())?;
        if request.closes {
            break;
        }
    }
    Ok(())
}

/// What matters of a request.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    is_head: bool,
    closes: bool,
    body_bytes: u64,
}

/// `None` at the end of the connection.
fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut head = reader.take(HEAD_BYTES_MAX);
    let mut line = String::new();
    if head.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut request =
        Request { is_head: line.starts_with("HEAD "), closes: !line.trim_end().ends_with("HTTP/1.1"), body_bytes: 0 };
    loop {
        line.clear();
        head.read_line(&mut line)?;
        if !line.ends_with('\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.split_once(':') else {
            return Ok(Some(request));
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("connection") {
            request.closes =
                value.eq_ignore_ascii_case("close") || (request.closes && !value.eq_ignore_ascii_case("keep-alive"));
        } else if name.eq_ignore_ascii_case("content-length") {
            request.body_bytes =
                value.parse().ok().filter(|bytes| *bytes <= BODY_BYTES_MAX).ok_or(io::ErrorKind::InvalidData)?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(io::ErrorKind::Unsupported.into());
        }
    }
}

fn answer(request: &Request, body: &str) -> String {
    let connection = if request.closes { "close" } else { "keep-alive" };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
        body.len()
    );
    if request.is_head { head } else { head + body }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> io::Result<Option<Request>> {
        read_head(&mut text.as_bytes())
    }

    #[test]
    fn connections_stay_open_unless_the_client_says_otherwise() {
        let closes = |text| head(text).unwrap().unwrap().closes;
        assert!(!closes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(closes("GET / HTTP/1.1\r\nconnection: Close\r\n\r\n"));
        assert!(closes("GET / HTTP/1.0\r\n\r\n"));
        assert!(!closes("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    }

    #[test]
    fn broken_and_endless_heads_end_the_connection() {
        assert_eq!(head("").unwrap(), None);
        assert!(head("GET / HTTP/1.1\r\nHost").is_err());
        assert!(head(&format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(20_000))).is_err());
        assert!(head("POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n").is_err());
        assert!(head("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn two_requests_on_one_connection_get_two_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        start(listener, "hello\n".to_owned());
        let mut client = TcpStream::connect(address).unwrap();
        client
            .write_all(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text.matches("\r\n\r\nhello\n").count(), 2, "{text}");
    }
}
