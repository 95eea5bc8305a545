//! Requests to the admin endpoint, each on a connection of its own: one that is kept may end just as the next request leaves,
//! and then nobody knows what became of that.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::Ask;
use super::address::Address;
use super::tls;
use crate::cli::show::plain;
use crate::cli::trouble::{Exit, Trouble};

/// A connection is there after so long, name lookup included.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// An answer is whole after so long. The admin endpoint itself gives up after 10 s, and says so.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// The largest answer we read: 100 groups of 1,000 targets each would fit into one.
const ANSWER_BYTES_MAX: usize = 128 << 20;

/// The API's code for an answer that took it too long.
const TIMEOUT: &str = "timeout";
const IN_DOUBT: &str = "whether the change was made is not known: `weir targets list` and `weir revisions` show it";

/// Who asks, and where.
#[derive(Debug)]
pub(super) struct Caller {
    address: Address,
    /// What https is spoken with.
    tls: Option<Arc<ClientConfig>>,
    token: Option<HeaderValue>,
}

/// What the API says of an error.
#[derive(Debug, Deserialize)]
struct Refusal {
    error: Said,
}

#[derive(Debug, Deserialize)]
struct Said {
    code: String,
    message: String,
    #[serde(default)]
    hint: String,
}

impl Caller {
    pub(super) fn new(address: Address, tls: Option<Arc<ClientConfig>>, token: Option<HeaderValue>) -> Self {
        Caller { address, tls, token }
    }

    pub(super) async fn ask(&self, ask: &Ask) -> Result<Value, Trouble> {
        let request = self.request(ask)?;
        let mut connection = self.connect().await?;
        let answer = timeout(ANSWER_LIMIT, exchange(&mut connection, request)).await;
        let (status, body) = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(self.no_answer(ask, &error)),
            Err(_) => return Err(self.no_answer(ask, &format!("no whole answer within {ANSWER_LIMIT:?}"))),
        };
        self.judge(ask, status, &body)
    }

    fn request(&self, ask: &Ask) -> Result<Request<Full<Bytes>>, Trouble> {
        // RFC 9112 section 3.2: a request has a Host; that of a unix socket is of no meaning.
        let host = match &self.address {
            Address::Tcp(place) | Address::Https(place) => place,
            Address::Unix(_) => "localhost",
        };
        let mut request = Request::builder()
            .method(&ask.method)
            .uri(&ask.path)
            .header(header::HOST, host)
            .header(header::CONNECTION, "close")
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("weir/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        if ask.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        let body = ask.body.as_ref().map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        request.body(Full::new(body)).map_err(|error| format!("{} {}: {error}", ask.method, ask.path).into())
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Trouble> {
        let connected = timeout(CONNECT_LIMIT, connect(&self.address, self.tls.as_ref())).await;
        let connected = connected.unwrap_or_else(|_| Err(io::Error::from(ErrorKind::TimedOut)));
        connected.map_err(|error| {
            let (what, mend) = match tls::refusal(&error, &self.address) {
                Some(refusal) => refusal,
                None => (error.to_string(), self.mend(error.kind()).to_owned()),
            };
            let message = format!("cannot connect to {}: {what}; {mend}", self.address);
            Trouble::new(Exit::NoAnswer, message)
        })
    }

    fn mend(&self, kind: ErrorKind) -> &'static str {
        match (&self.address, kind) {
            (Address::Unix(_), ErrorKind::PermissionDenied) => {
                "the socket is for weir's account and group: run this as one of them"
            }
            (Address::Tcp(_) | Address::Https(_), ErrorKind::TimedOut) => {
                "is the machine up, and does a firewall drop packets on the way? weir's [admin] listen is what --admin names"
            }
            _ => "is weir running, and is this what its [admin] listen says? --admin names another address",
        }
    }

    fn no_answer(&self, ask: &Ask, error: &str) -> Trouble {
        let what = format!("{} {} at {}: {error}", ask.method, ask.path, self.address);
        let mend = if ask.method == Method::GET {
            "is that weir's admin endpoint, and is the host overloaded? See its log and /readyz"
        } else {
            IN_DOUBT
        };
        Trouble::new(Exit::NoAnswer, format!("{what}; {mend}"))
    }

    fn judge(&self, ask: &Ask, status: StatusCode, body: &[u8]) -> Result<Value, Trouble> {
        if status == StatusCode::UNAUTHORIZED {
            return Err(self.unauthorized());
        }
        let answer = if body.is_empty() { Some(Value::Null) } else { serde_json::from_slice(body).ok() };
        let answer = match answer {
            Some(answer) if status.is_success() => return Ok(answer),
            other => other,
        };
        let refusal =
            answer.and_then(|answer| serde_json::from_value::<Refusal>(answer).ok()).map(|refusal| refusal.error);
        // What stands between may have given up, or the API itself, on a change that it had begun.
        let gave_up = status.is_server_error() && refusal.as_ref().is_none_or(|error| error.code == TIMEOUT);
        let mut message = match refusal {
            Some(Said { code, message, hint }) => {
                let hint = if hint.is_empty() { hint } else { format!("; {hint}") };
                plain(&format!("{message}{hint} ({} {code})", status.as_u16()))
            }
            None => format!(
                "{} {} at {}: the answer, {status}, is none of weir's API; is that weir's admin endpoint, and of this \
                 version?",
                ask.method, ask.path, self.address
            ),
        };
        if gave_up && ask.method != Method::GET {
            message = format!("{message}; {IN_DOUBT}");
            return Err(Trouble::new(Exit::NoAnswer, message));
        }
        Err(Trouble::new(Exit::Failed, message))
    }

    fn unauthorized(&self) -> Trouble {
        let what = match &self.token {
            None => {
                "wants a token: give the file that its [admin] token_file names, by --token-file or WEIR_TOKEN_FILE"
            }
            Some(_) => {
                "does not take this token: is the file the one that its [admin] token_file names? It is read at weir's \
                 start only"
            }
        };
        Trouble::new(Exit::Unauthorized, format!("{} {what} (401)", self.address))
    }
}

async fn connect(address: &Address, tls: Option<&Arc<ClientConfig>>) -> io::Result<SendRequest<Full<Bytes>>> {
    match address {
        Address::Tcp(place) => handshake(TcpStream::connect(place.as_str()).await?).await,
        Address::Https(place) => {
            let stream = TcpStream::connect(place.as_str()).await?;
            handshake(tls::connect(stream, place, tls).await?).await
        }
        Address::Unix(path) => handshake(UnixStream::connect(path).await?).await,
    }
}

async fn handshake<S>(stream: S) -> io::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // How it ends, the request that waits is told too.
    tokio::spawn(connection);
    Ok(sender)
}

/// Status and body of the answer, or what is wrong with it.
async fn exchange(
    connection: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), String> {
    let answer: Response<Incoming> = connection.send_request(request).await.map_err(|error| said(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| error.downcast_ref().map_or_else(|| error.to_string(), said))?;
    Ok((status, body.to_bytes()))
}

fn said(error: &hyper::Error) -> String {
    if error.is_parse() {
        return "what answers is not HTTP; if it speaks https, write https:// before the address".to_owned();
    }
    if error.is_incomplete_message() || error.is_closed() {
        return "the connection was closed before the answer was whole".to_owned();
    }
    std::error::Error::source(error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
