//! The socket of the admin endpoint and its clients, each bounded in size and time.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::auth::{Spoken, Token};
use super::router::{in_the_clear, router};
use super::tls::{self, Opened};
use crate::config::{Admin, AdminAddress};
use crate::control::bind;
use crate::control::state::Control;

/// Clients at once; further ones wait in the backlog.
pub(super) const CLIENTS_MAX: usize = 64;
/// A request's head must be there after so long, and so must the end of the handshake before it. An idle connection is closed
/// after the same time.
pub(super) const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a request's head, and of what is kept of it in memory. hyper wants 8 KiB at least.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
/// A connection is closed in order after so long, and by force a little later: a client that does not read its answer
/// holds its place no longer.
const CONNECTION_LIMIT: Duration = Duration::from_secs(120);
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// After a failed accept (no descriptor left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Owner and group: the group is who may look at the balancer.
const SOCKET_MODE: u32 = 0o660;

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Client {
    Tcp(SocketAddr),
    Unix,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Client::Tcp(address) => write!(f, "api client {address}"),
            Client::Unix => f.write_str("api client on the unix socket"),
        }
    }
}

/// The endpoint, bound and not yet serving.
#[derive(Debug)]
pub(in crate::control) struct Door {
    socket: Socket,
    token: Option<Token>,
    spoken: Spoken,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
}

/// Removed when the endpoint goes.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody else may have removed it.
        let _ = fs::remove_file(&self.0);
    }
}

impl Door {
    /// Binds it and reads the token.
    ///
    /// # Errors
    /// What is wrong, where, and how to mend it.
    pub(in crate::control) fn open(config: &Admin) -> Result<Self, String> {
        let token = config.token_file.as_deref().map(Token::read).transpose()?;
        let socket = match &config.listen {
            AdminAddress::Tcp(address) => listen_tcp(*address).map_err(|error| {
                format!("[admin] listen: {address}: {error}; {}", bind::mend(&error, address.port()))
            })?,
            AdminAddress::Unix(path) => {
                listen_unix(path).map_err(|error| format!("[admin] listen: unix:{}: {error}", path.display()))?
            }
        };
        let spoken = if config.certificate.is_some() { Spoken::Https } else { Spoken::Http };
        Ok(Door { socket, token, spoken })
    }

    #[cfg(test)]
    pub(super) fn address(&self) -> SocketAddr {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().unwrap(),
            Socket::Unix { .. } => panic!("a unix socket has none"),
        }
    }

    /// Serves until it is dropped.
    pub(in crate::control) async fn serve(self, control: Arc<Control>) {
        let acceptor = (self.spoken == Spoken::Https).then(|| tls::acceptor(Arc::clone(&control)));
        let router = router(control, self.token, self.spoken);
        let places = Arc::new(Semaphore::new(CLIENTS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let accepted = match &self.socket {
                Socket::Tcp(listener) => listener.accept().await.map(|(socket, address)| {
                    let router = router.clone().layer(Extension(Client::Tcp(address)));
                    match &acceptor {
                        None => spawn(serve_client(socket, router, place)),
                        Some(acceptor) => spawn(serve_https(socket, acceptor.clone(), router, place)),
                    }
                }),
                Socket::Unix { listener, .. } => listener.accept().await.map(|(socket, _)| {
                    let router = router.clone().layer(Extension(Client::Unix));
                    spawn(serve_client(socket, router, place));
                }),
            };
            if let Err(error) = accepted {
                tracing::debug!("admin endpoint: accept: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn spawn(client: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(client);
}

async fn serve_https(client: TcpStream, acceptor: TlsAcceptor, router: Router, place: OwnedSemaphorePermit) {
    match timeout(HEAD_LIMIT, tls::open(client, &acceptor)).await {
        Ok(Ok(Opened::Https(client))) => serve_client(client, router, place).await,
        Ok(Ok(Opened::Http(client))) => serve_client(client, in_the_clear(), place).await,
        Ok(Err(error)) => tracing::debug!("admin endpoint: handshake: {error}"),
        Err(_) => tracing::debug!("admin endpoint: no handshake within {HEAD_LIMIT:?}"),
    }
}

async fn serve_client<S>(client: S, router: Router, place: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(client), TowerToHyperService::new(router));
    tokio::pin!(connection);
    // How a client's connection ends is the client's business.
    if timeout(CONNECTION_LIMIT, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(CLOSE_LIMIT, connection).await;
    }
    drop(place);
}

fn listen_tcp(address: SocketAddr) -> io::Result<Socket> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener).map(Socket::Tcp)
}

fn listen_unix(path: &Path) -> Result<Socket, String> {
    remove_left_over(path)?;
    let listener = UnixListener::bind(path)
        .map_err(|error| format!("{error}; the directory must exist and be writable: RuntimeDirectory= of the unit"))?;
    let file = SocketFile(path.to_owned());
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))
        .map_err(|error| format!("cannot set its mode: {error}; put it in a directory of the account's own"))?;
    Ok(Socket::Unix { listener, _file: file })
}

/// A socket file that nobody answers on is from a process that was killed.
fn remove_left_over(path: &Path) -> Result<(), String> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err("there is something else than a socket; remove it or choose another path".to_owned());
    }
    if StdUnixStream::connect(path).is_ok() {
        return Err("another process answers there; stop it or choose another path".to_owned());
    }
    fs::remove_file(path).map_err(|error| format!("cannot replace the old socket: {error}; remove it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Result<Door, String> {
        Door::open(&Admin { listen: AdminAddress::Unix(path.to_owned()), token_file: None, certificate: None })
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_unix_socket_replaces_a_dead_one_but_not_a_live_one_or_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weir.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a dead socket is left over");

        let door = open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(open(&path).unwrap_err().contains("another process answers there"));
        drop(door);
        assert!(!path.exists(), "it is removed at the end");

        fs::write(&path, "text").unwrap();
        assert!(open(&path).unwrap_err().contains("something else than a socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_port_that_is_taken_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = Door::open(&Admin { listen: AdminAddress::Tcp(address), token_file: None, certificate: None });
        let error = error.unwrap_err();
        assert!(error.starts_with(&format!("[admin] listen: {address}: ")), "{error}");
        assert!(error.contains("ss -ltnp"), "{error}");
    }
}
