//! https on the admin endpoint: the handshake, and who speaks http instead.
//!
//! ```text
//!   first byte --handshake record--> rustls, with the certificate of the snapshot in effect --> router
//!        `--a letter: a method of http--> each request is answered with 400
//! ```
//!
//! A certificate that a reload brought is that of every connection from then on.
//! Before: server.rs, which bounds number and time. Next: router.rs.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::control::state::Control;
use crate::tls;

/// What a client turned out to speak.
pub(super) enum Opened {
    Https(Box<TlsStream<TcpStream>>),
    /// Nothing of it is read yet.
    Http(TcpStream),
}

/// Makes connections of a socket's clients.
pub(super) fn acceptor(control: Arc<Control>) -> TlsAcceptor {
    TlsAcceptor::from(tls::server(Arc::new(InEffect(control))))
}

/// # Errors
/// The client went, or speaks no TLS that we do.
pub(super) async fn open(client: TcpStream, acceptor: &TlsAcceptor) -> io::Result<Opened> {
    let mut first = [0];
    if client.peek(&mut first).await? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    // TLS begins with a record of type 22 (RFC 8446, 5.1), a request with its method (RFC 9112, 3.1).
    if first[0].is_ascii_alphabetic() {
        return Ok(Opened::Http(client));
    }
    Ok(Opened::Https(Box::new(acceptor.accept(client).await?)))
}

/// The certificate of the snapshot in effect.
#[derive(Debug)]
struct InEffect(Arc<Control>);

impl ResolvesServerCert for InEffect {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.state().snapshot.admin.certificate.as_ref().map(tls::Certificate::key)
    }
}
