//! A target of the demo: the least of an HTTP/1.1 server, a thread a connection. It says who it is and what it was asked.

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

/// Answers every request on `listener` with a line that begins with `greeting`, until the process ends.
pub(super) fn start(listener: TcpListener, greeting: String) {
    let greeting: Arc<str> = greeting.into();
    thread::spawn(move || {
        let open = Arc::new(AtomicUsize::new(0));
        for client in listener.incoming().flatten() {
            serve_in_thread(client, &open, &greeting);
        }
    });
}

fn serve_in_thread(client: TcpStream, open: &Arc<AtomicUsize>, greeting: &Arc<str>) {
    if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
        open.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let place = Place(Arc::clone(open));
    let greeting = Arc::clone(greeting);
    // Without a thread the closure is dropped, and with it the connection and its place.
    let _ = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let _place = place;
        // How a client's connection ends is the client's business.
        let _ = serve(&client, &greeting);
    });
}

/// One of the connections that are open.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn serve(client: &TcpStream, greeting: &str) -> io::Result<()> {
    client.set_read_timeout(Some(SILENCE_MAX))?;
    client.set_write_timeout(Some(SILENCE_MAX))?;
    client.set_nodelay(true)?;
    let mut reader = BufReader::new(client);
    let mut writer = client;
    while let Some(request) = read_head(&mut reader)? {
        skip_body(&mut reader, request.body)?;
        writer.write_all(answer(&request, greeting).as_bytes())?;
        if request.closes {
            break;
        }
    }
    Ok(())
}

/// What matters of a request.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    /// Method and target as they came.
    asked: String,
    /// `X-Forwarded-For`, where there is one.
    forwarded_for: Option<String>,
    closes: bool,
    body: Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
}

/// `None` at the end of the connection.
fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut head = reader.take(HEAD_BYTES_MAX);
    let mut line = String::new();
    if head.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let (asked, version) = line.trim_end().rsplit_once(' ').ok_or(io::ErrorKind::InvalidData)?;
    let mut request =
        Request { asked: asked.to_owned(), forwarded_for: None, closes: version != "HTTP/1.1", body: Body::Length(0) };
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
            let bytes = value.parse().ok().filter(|bytes| *bytes <= BODY_BYTES_MAX);
            request.body = Body::Length(bytes.ok_or(io::ErrorKind::InvalidData)?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            request.body = Body::Chunked;
        } else if name.eq_ignore_ascii_case("x-forwarded-for") {
            request.forwarded_for = Some(value.to_owned());
        }
    }
}

/// A body is read and thrown away.
fn skip_body(reader: &mut impl BufRead, body: Body) -> io::Result<()> {
    match body {
        Body::Length(bytes) => skip(reader, bytes),
        Body::Chunked => {
            let mut left = BODY_BYTES_MAX;
            loop {
                let line = read_line(reader)?;
                let size = line.split(';').next().unwrap_or_default().trim();
                let bytes = u64::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
                if bytes == 0 {
                    break;
                }
                left = left.checked_sub(bytes).ok_or(io::ErrorKind::InvalidData)?;
                skip(reader, bytes)?;
                read_line(reader)?;
            }
            while !read_line(reader)?.trim().is_empty() {}
            Ok(())
        }
    }
}

fn skip(reader: &mut impl BufRead, bytes: u64) -> io::Result<()> {
    let skipped = io::copy(&mut reader.take(bytes), &mut io::sink())?;
    if skipped == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// A line of a chunked body.
fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.take(HEAD_BYTES_MAX).read_line(&mut line)?;
    if line.ends_with('\n') { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn answer(request: &Request, greeting: &str) -> String {
    let forwarded_for = request.forwarded_for.as_ref().map(|client| format!(" for {client}")).unwrap_or_default();
    let body = format!("{greeting}: {}{forwarded_for}\n", request.asked);
    let connection = if request.closes { "close" } else { "keep-alive" };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
        body.len()
    );
    if request.asked.starts_with("HEAD ") { head } else { head + &body }
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
        assert!(head("GET\r\n\r\n").is_err());
        assert!(skip_body(&mut "5\r\nab".as_bytes(), Body::Chunked).is_err());
        assert!(skip_body(&mut "x\r\n".as_bytes(), Body::Chunked).is_err());
        assert!(skip_body(&mut "ffffffffff\r\n".as_bytes(), Body::Chunked).is_err());
    }

    #[test]
    fn each_request_of_a_connection_is_told_what_it_asked_and_for_whom() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        start(listener, "hello".to_owned());
        let mut client = TcpStream::connect(address).unwrap();
        let requests = "POST /a?b HTTP/1.1\r\nContent-Length: 3\r\nX-Forwarded-For: 10.0.0.9\r\n\r\nabc\
                        PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\n\
                        GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
        client.write_all(requests.as_bytes()).unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        let bodies: Vec<_> = text.lines().filter(|line| line.starts_with("hello")).collect();
        assert_eq!(bodies, ["hello: POST /a?b for 10.0.0.9", "hello: PUT /b", "hello: GET /"], "{text}");
    }

    #[test]
    fn the_answer_to_head_has_no_body() {
        let request = head("HEAD /x HTTP/1.1\r\n\r\n").unwrap().unwrap();
        assert!(answer(&request, "hello").ends_with("\r\n\r\n"));
    }
}
