//! HTTP/1.1 as a client speaks it, read by this file alone: nothing of the balancer's own parser is asked.
//!
//!     Client --send: any bytes--> balancer
//!            <--receive: head, body by its framing--'
//!
//! A body that is cut short is an error, so a truncated response never passes for a whole one here.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::client;

/// A request or a response.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// Its first line.
    pub line: String,
    /// Names as they came.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// As it came, framing included.
    pub raw: Vec<u8>,
}

impl Message {
    pub fn status(&self) -> u16 {
        self.line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    /// Path and query of a request.
    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// All values of a field.
    pub fn values<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'m str> {
        self.fields.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first value of a field; empty without one.
    pub fn value(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        field.map_or("", |(_, value)| value)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How a message's body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Request,
    Response,
    /// To HEAD.
    BodilessResponse,
}

/// Messages of one connection.
pub struct Reader {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl Reader {
    pub fn new(stream: TcpStream) -> Self {
        Reader { stream, unread: Vec::new() }
    }

    /// The next message; `None` when the other side ends ahead of it.
    pub fn message(&mut self, kind: Kind) -> io::Result<Option<Message>> {
        let Some(mut message) = self.head()? else { return Ok(None) };
        self.body(&mut message, kind)?;
        Ok(Some(message))
    }

    /// The next head; what follows it stays unread.
    pub fn head(&mut self) -> io::Result<Option<Message>> {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.fill()? {
                let cut = |bytes: &[u8]| Err(truncated(&format!("in a head: {:?}", String::from_utf8_lossy(bytes))));
                return if self.unread.is_empty() { Ok(None) } else { cut(&self.unread) };
            }
        };
        let raw: Vec<u8> = self.unread.drain(..end).collect();
        let text = String::from_utf8_lossy(&raw).into_owned();
        let mut lines = text.trim_end().split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let field = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Ok(Some(Message { line, fields: lines.filter_map(field).collect(), body: Vec::new(), raw }))
    }

    fn body(&mut self, message: &mut Message, kind: Kind) -> io::Result<()> {
        let status = message.status();
        if kind == Kind::BodilessResponse || (kind == Kind::Response && matches!(status, 100..=199 | 204 | 304)) {
            return Ok(());
        }
        if message.value("transfer-encoding").eq_ignore_ascii_case("chunked") {
            return self.chunked(message);
        }
        let length = message.value("content-length");
        if !length.is_empty() {
            let length = length.parse().map_err(|_| io::Error::other(format!("Content-Length: {length}")))?;
            message.body = self.exactly(length)?;
        } else if kind == Kind::Response {
            while self.fill()? {}
            message.body = std::mem::take(&mut self.unread);
        }
        message.raw.extend_from_slice(&message.body);
        Ok(())
    }

    fn chunked(&mut self, message: &mut Message) -> io::Result<()> {
        loop {
            let line = self.line(message)?;
            let size = line.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16).map_err(|_| io::Error::other(format!("chunk size {line:?}")))?;
            if size == 0 {
                while !self.line(message)?.is_empty() {}
                return Ok(());
            }
            let chunk = self.exactly(size + 2)?;
            message.raw.extend_from_slice(&chunk);
            message.body.extend_from_slice(&chunk[..size]);
        }
    }

    fn line(&mut self, message: &mut Message) -> io::Result<String> {
        let end = loop {
            if let Some(end) = self.unread.windows(2).position(|window| window == b"\r\n") {
                break end + 2;
            }
            if !self.fill()? {
                return Err(truncated("in a chunk's line"));
            }
        };
        let line: Vec<u8> = self.unread.drain(..end).collect();
        message.raw.extend_from_slice(&line);
        Ok(String::from_utf8_lossy(&line[..end - 2]).into_owned())
    }

    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            if !self.fill()? {
                return Err(truncated(&format!("{} of {length} bytes", self.unread.len())));
            }
        }
        Ok(self.unread.drain(..length).collect())
    }

    fn fill(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 16_384];
        let count = loop {
            match self.stream.read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.unread.extend_from_slice(&bytes[..count]);
        Ok(count > 0)
    }
}

fn truncated(what: &str) -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, format!("the other side ended: {what}"))
}

/// A client that keeps its connection.
pub struct Client {
    reader: Reader,
}

impl Client {
    pub fn connect(to: SocketAddr) -> io::Result<Self> {
        Ok(Client { reader: Reader::new(client::connect(to)?) })
    }

    pub fn stream(&self) -> &TcpStream {
        &self.reader.stream
    }

    pub fn into_stream(self) -> TcpStream {
        self.reader.stream
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.stream.write_all(bytes.as_ref())
    }

    /// The next response, interim ones too.
    pub fn receive(&mut self) -> io::Result<Message> {
        self.reader.message(Kind::Response)?.ok_or_else(|| truncated("no response"))
    }

    /// The next response, to HEAD.
    pub fn receive_head(&mut self) -> io::Result<Message> {
        self.reader.message(Kind::BodilessResponse)?.ok_or_else(|| truncated("no response"))
    }

    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> io::Result<Message> {
        self.send(request)?;
        self.receive()
    }

    pub fn get(&mut self, path: &str) -> io::Result<Message> {
        self.ask(get(path))
    }

    /// Whether nothing more comes, and the end is an orderly one.
    pub fn sees_the_end(&mut self) -> bool {
        matches!(self.reader.head(), Ok(None))
    }
}

/// A request without body.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

/// A request with a body.
pub fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// One request on a connection of its own.
pub fn ask(to: SocketAddr, request: impl AsRef<[u8]>) -> io::Result<Message> {
    Client::connect(to)?.ask(request)
}

/// The answer's text, and an error for any status but 200: a visit of `Load`.
pub fn visit(to: SocketAddr) -> io::Result<String> {
    good(ask(to, get("/"))?)
}

/// Its text, if its status is 200.
pub fn good(answer: Message) -> io::Result<String> {
    if answer.status() == 200 { Ok(answer.text()) } else { Err(io::Error::other(answer.line)) }
}
