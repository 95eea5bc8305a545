//! Targets as threads of the test's: one that remembers what it was sent, and any that breaks the rules.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// A target on a port of its own. Its threads end with the test's process.
pub struct Peer {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// The requests of a connection.
pub struct Requests {
    stream: TcpStream,
    unread: Vec<u8>,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Peer {
    /// Each connection is handled by `handle`, on a thread of its own, and closed when that returns.
    pub fn start(handle: impl Fn(&mut Requests) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (heard, handle) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::new(handle));
        let remembered = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (handle, heard) = (Arc::clone(&handle), Arc::clone(&remembered));
                thread::spawn(move || {
                    let mut requests = Requests { stream, unread: Vec::new(), heard };
                    // The other side may be gone.
                    let _ = handle(&mut requests);
                });
            }
        });
        Peer { address, heard }
    }

    /// Answers every request by these bytes.
    pub fn answering(answer: &'static [u8]) -> Self {
        Peer::start(move |requests| {
            while requests.next()?.is_some() {
                requests.answer(answer)?;
            }
            Ok(())
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Every request so far, as it came.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().expect("nothing panics under it").clone()
    }
}

impl Requests {
    /// The next one, head and body by its Content-Length; none at the end of the connection.
    pub fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(length) = request_length(&self.unread) {
                let request: Vec<u8> = self.unread.drain(..length).collect();
                self.heard.lock().expect("nothing panics under it").push(request.clone());
                return Ok(Some(request));
            }
            let mut piece = [0; 16 * 1024];
            match self.stream.read(&mut piece)? {
                0 => return Ok(None),
                count => self.unread.extend_from_slice(&piece[..count]),
            }
        }
    }

    pub fn answer(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The connection's end is a reset.
    pub fn reset_at_end(&self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    }
}

fn request_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let body = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    (bytes.len() >= head + body).then_some(head + body)
}
