//! Targets that speak HTTP: what they answer is the test's, byte for byte; what reached them is kept.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use super::http::{Kind, Message, Reader};
use super::target::{Handler, Target};

/// What came to a target, in order.
pub type Received = Arc<Mutex<Vec<Message>>>;

/// Answers each request with the bytes that `respond` makes of it, and keeps the connection unless they say
/// `Connection: close`.
pub fn serve(respond: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> Handler {
    Arc::new(move |stream: TcpStream| {
        let mut reader = Reader::new(stream);
        // An error is the balancer's end of the connection: nobody to tell.
        while let Ok(Some(request)) = reader.message(Kind::Request) {
            let response = respond(&request);
            let closes = String::from_utf8_lossy(&response[..response.len().min(1024)]).contains("Connection: close");
            if reader.stream.write_all(&response).is_err() || closes {
                return;
            }
        }
    })
}

/// Answers each request with its name.
pub fn named(name: &str) -> Handler {
    let answer = ok(name);
    serve(move |_| answer.clone())
}

/// As `named`, and keeps what came.
pub fn recording(name: &str) -> (Handler, Received) {
    let (received, answer) = (Received::default(), ok(name));
    let kept = Arc::clone(&received);
    let handler = serve(move |request| {
        kept.lock().expect("no panic under it").push(request.clone());
        answer.clone()
    });
    (handler, received)
}

/// A target that answers with its name.
pub fn start(name: &str) -> Target {
    Target::start(named(name))
}

/// 200 with this body.
pub fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    response("200 OK", "", body)
}

/// A response with these lines, each with its CRLF, and this body.
pub fn response(status: &str, lines: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
