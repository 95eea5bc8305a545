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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use rustls::RootCertStore;
    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::config::{Admin, AdminAddress, Mode, Snapshot, parse};
    use crate::control::admin::Door;
    use crate::control::admin::server::{CLIENTS_MAX, HEAD_LIMIT};
    use crate::control::change::Ledger;
    use crate::control::state::Given;
    use crate::tls::tests::pair;
    use crate::tls::{Certificate, read_chain, read_key};

    /// Far longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(30);

    struct Endpoint {
        control: Arc<Control>,
        address: SocketAddr,
        connector: TlsConnector,
    }

    /// A certificate and a client that trusts it.
    fn certificate() -> (Certificate, TlsConnector) {
        let pair = pair("127.0.0.1", 2100);
        let chain = read_chain(pair.certificate.as_bytes()).unwrap();
        let mut issuers = RootCertStore::empty();
        issuers.add(chain[0].clone()).unwrap();
        let certificate = Certificate::new(chain, read_key(pair.key.as_bytes()).unwrap()).unwrap();
        (certificate, TlsConnector::from(crate::tls::client(issuers).unwrap()))
    }

    fn with(certificate: Certificate) -> Arc<Snapshot> {
        let listen = AdminAddress::Tcp(([127, 0, 0, 1], 0).into());
        let admin = Admin { listen, token_file: None, certificate: Some(certificate) };
        Arc::new(Snapshot { admin, ..parse("t", "", Mode::Run).unwrap() })
    }

    impl Endpoint {
        fn start() -> Self {
            let (certificate, connector) = certificate();
            let snapshot = with(certificate);
            let door = Door::open(&snapshot.admin).unwrap();
            let address = door.address();
            let control = Control::new(Vec::new(), Arc::clone(&snapshot), Ledger::of(&snapshot), Given::for_test());
            tokio::spawn(door.serve(Arc::clone(&control)));
            Endpoint { control, address, connector }
        }

        async fn livez(&self) -> io::Result<String> {
            let client = TcpStream::connect(self.address).await?;
            let name = ServerName::from(self.address.ip());
            let mut client = self.connector.connect(name, client).await?;
            client.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
            let mut answer = String::new();
            client.read_to_string(&mut answer).await?;
            Ok(answer)
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_handshake_shows_the_certificate_of_the_snapshot_in_effect() {
        let endpoint = Endpoint::start();
        let answer = time::timeout(PATIENCE, endpoint.livez()).await.expect("an answer").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
        let (certificate, connector) = certificate();
        endpoint.control.state().snapshot = with(certificate);
        let refused = time::timeout(PATIENCE, endpoint.livez()).await.expect("an end").unwrap_err();
        assert!(refused.to_string().contains("certificate"), "{refused}");
        let endpoint = Endpoint { connector, ..endpoint };
        assert!(time::timeout(PATIENCE, endpoint.livez()).await.expect("an answer").unwrap().contains("200 OK"));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn those_who_stall_in_the_handshake_give_their_places_back() {
        let endpoint = Endpoint::start();
        let mut stalled = Vec::new();
        for number in 0..CLIENTS_MAX {
            let mut client = TcpStream::connect(endpoint.address).await.unwrap();
            // Nothing, or the begin of a hello, or of a request in the clear.
            let begin = [&b""[..], b"\x16\x03\x01\x02\x00\x01", b"GET /li"][number % 3];
            client.write_all(begin).await.unwrap();
            stalled.push(client);
        }
        let waiting = endpoint.livez();
        tokio::pin!(waiting);
        let a_while = Duration::from_millis(200);
        assert!(time::timeout(a_while, waiting.as_mut()).await.is_err(), "there is no place left");

        time::pause();
        time::advance(HEAD_LIMIT + Duration::from_secs(1)).await;
        time::resume();
        assert!(time::timeout(PATIENCE, waiting).await.expect("a place").unwrap().contains("200 OK"));
        for mut client in stalled {
            let mut answer = Vec::new();
            // A reset is an end, too.
            let _ = time::timeout(PATIENCE, client.read_to_end(&mut answer)).await.expect("an end");
            assert!(answer.is_empty(), "{}", answer.escape_ascii());
        }
    }
}
