//! https to the admin endpoint: whom to trust, and what a refused certificate means.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::address::Address;
use crate::tls;

/// What https is spoken with; `None` where it is not spoken.
///
/// # Errors
/// The file of the issuer cannot be used, is for another address, or is missing where the system trusts nobody.
pub(super) fn config(address: &Address, ca_file: Option<&Path>) -> Result<Option<Arc<ClientConfig>>, String> {
    let place = |file: &Path| format!("--ca-file {}", file.display());
    let issuers = match (address, ca_file) {
        (Address::Https(_), Some(file)) => of_file(file).map_err(|error| format!("{}: {error}", place(file)))?,
        (Address::Https(_), None) => tls::issuers_of_the_system(),
        // Whoever names an issuer does not expect the token to leave in the clear.
        (Address::Tcp(to), Some(file)) => {
            return Err(format!(
                "{}: http is spoken to {to}; write --admin https://{to}, or leave --ca-file and WEIR_CA_FILE out",
                place(file)
            ));
        }
        (Address::Tcp(_), None) | (Address::Unix(_), _) => return Ok(None),
    };
    let client = tls::client(issuers);
    client.map(Some).ok_or_else(|| format!("this system trusts no issuer of certificates; {NAME_THE_ISSUER}"))
}

fn of_file(file: &Path) -> Result<RootCertStore, String> {
    let text = fs::read(file).map_err(|error| format!("{error}; name the file of the issuer's certificate"))?;
    let mut issuers = RootCertStore::empty();
    for certificate in tls::read_chain(&text).map_err(|flaw| format!("{}; {}", flaw.what, flaw.mend))? {
        let unusable = |error| {
            let why = if let Error::InvalidCertificate(why) = &error { why.to_string() } else { error.to_string() };
            format!("holds a certificate that cannot be used: {why}; make one of X.509 version 3")
        };
        issuers.add(certificate).map_err(unusable)?;
    }
    Ok(issuers)
}

/// The handshake with the endpoint, whose certificate must be for the host of `place`.
pub(super) async fn connect(
    stream: TcpStream,
    place: &str,
    config: Option<&Arc<ClientConfig>>,
) -> io::Result<TlsStream<TcpStream>> {
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host).trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| io::Error::new(ErrorKind::InvalidInput, "no certificate can be for this host"))?;
    let config = config.ok_or_else(|| io::Error::from(ErrorKind::Unsupported))?;
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

/// Why the handshake failed and how to mend it, if that is why.
pub(super) fn refusal(error: &io::Error, address: &Address) -> Option<(String, String)> {
    let Address::Https(place) = address else { return None };
    let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<Error>()) else {
        let cut = error.kind() == ErrorKind::UnexpectedEof;
        return cut.then(|| ("closed in the handshake".into(), "is that weir's admin endpoint? See its log".into()));
    };
    let (what, mend) = match error {
        Error::InvalidCertificate(error) => refused(error),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            ("it does not speak https".to_owned(), format!("if it has no certificate_file, write --admin {place}"))
        }
        Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion) => {
            (error.to_string(), "is that weir's admin endpoint, and is its certificate one for servers?".to_owned())
        }
        _ => (error.to_string(), "is that weir's admin endpoint?".to_owned()),
    };
    Some((what, mend))
}

fn refused(error: &CertificateError) -> (String, String) {
    let at = |time: &UnixTime| {
        let since_1970 = std::time::Duration::from_secs(time.as_secs());
        humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since_1970).to_string()
    };
    match error {
        // The second is an issuer of that name with another key: one that was made anew, say.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            ("its certificate is of an issuer that is not trusted here".to_owned(), NAME_THE_ISSUER.to_owned())
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") };
            let what = format!("its certificate is not for {} but for {names}", expected.to_str());
            (what, "connect by a name that it has, or make one with this name (subjectAltName)".to_owned())
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            let what = format!("its certificate expired at {}", at(not_after));
            (what, "renew it and reload that weir, or look at this machine's clock".to_owned())
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            let what = format!("its certificate is not valid before {}", at(not_before));
            (what, "look at this machine's clock".to_owned())
        }
        // webpki names no variant of rustls' for this one: a certificate of an issuer where that of an endpoint belongs.
        CertificateError::Other(error) if error.to_string().contains("CaUsedAsEndEntity") => (
            "its certificate is that of an issuer (CA:TRUE)".to_owned(),
            "make one for an endpoint: openssl req -x509 -addext basicConstraints=critical,CA:FALSE".to_owned(),
        ),
        other => (format!("its certificate is refused: {other}"), "look at it: openssl x509 -text -in FILE".to_owned()),
    }
}

const NAME_THE_ISSUER: &str = "name the file of the issuer's certificate by --ca-file or WEIR_CA_FILE";

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use hyper::Method;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::cli::api::Ask;
    use crate::cli::api::caller::{CONNECT_LIMIT, Caller};
    use crate::cli::trouble::{Exit, Trouble};
    use crate::tls::tests::pair;

    /// A file of an issuer, which lives as long as its folder.
    fn issuer() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        fs::write(&file, pair("127.0.0.1", 2100).certificate).unwrap();
        (folder, file)
    }

    #[test]
    fn an_issuer_is_for_https_and_is_not_left_unused_where_the_token_would_leave_in_the_clear() {
        let (_folder, file) = issuer();
        let [https, tcp] = [Address::Https("a:1".into()), Address::Tcp("a:1".into())];
        let unix = Address::Unix("/run/weir.sock".into());
        assert!(config(&https, Some(&file)).unwrap().is_some());
        assert!(config(&tcp, None).unwrap().is_none() && config(&unix, None).unwrap().is_none());
        assert!(config(&unix, Some(&file)).unwrap().is_none(), "nothing of a unix socket leaves the machine");
        let error = config(&tcp, Some(&file)).unwrap_err();
        assert!(error.contains("--admin https://a:1") && error.contains("WEIR_CA_FILE"), "{error}");
    }

    #[test]
    fn a_file_that_holds_no_issuer_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let pair = pair("a.example", 2100);
        for (text, says) in [
            (String::new(), "holds no certificate"),
            (pair.key.clone(), "holds no certificate"),
            (pair.certificate[..99].to_owned(), "is not whole PEM"),
            (
                "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".to_owned(),
                "holds a certificate that cannot be used: BadEncoding; ",
            ),
        ] {
            fs::write(&file, text).unwrap();
            let error = config(&Address::Https("a:1".into()), Some(&file)).unwrap_err();
            assert!(error.starts_with(&format!("--ca-file {}: {says}", file.display())), "{error}");
        }
    }

    /// What a command says of whoever answers a hello with these bytes, and then closes or not.
    async fn trouble(answer: &'static [u8], closes: bool) -> Trouble {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Https(listener.local_addr().unwrap().to_string());
        let (_folder, file) = issuer();
        let played = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            client.write_all(answer).await.unwrap();
            if closes {
                client.shutdown().await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        let ask = Ask { method: Method::GET, path: "/v1/x".to_owned(), headers: Vec::new(), body: None };
        let trouble = Caller::new(address.clone(), config(&address, Some(&file)).unwrap(), None).ask(&ask).await;
        played.abort();
        trouble.unwrap_err()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn who_is_no_endpoint_of_https_is_said_to_be_none() {
        for (answer, closes, says) in [
            (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], false, "it does not speak https"),
            (b"SSH-2.0-OpenSSH_9.9\r\n", false, "it does not speak https"),
            (b"", true, "closed in the handshake"),
            // An alert: handshake_failure (RFC 8446, 6.2).
            (b"\x15\x03\x03\x00\x02\x02\x28", false, "is that weir's admin endpoint"),
        ] {
            let trouble = trouble(answer, closes).await;
            assert_eq!(trouble.exit(), Exit::NoAnswer);
            let said = trouble.to_string();
            assert!(said.starts_with("cannot connect to https://127.0.0.1:") && said.contains(says), "{said}");
        }
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn who_says_nothing_in_the_handshake_is_left() {
        let before = tokio::time::Instant::now();
        let trouble = trouble(b"", false).await;
        assert_eq!((trouble.exit(), before.elapsed().as_secs()), (Exit::NoAnswer, CONNECT_LIMIT.as_secs()));
        assert!(trouble.to_string().contains("timed out"), "{trouble}");
    }
}
