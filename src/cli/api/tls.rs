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
        (Address::Https(_), None) => of_the_system(),
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
    client.map(Some).map_err(|_| format!("this system trusts no issuer of certificates; {NAME_THE_ISSUER}"))
}

fn of_file(file: &Path) -> Result<RootCertStore, String> {
    let text = fs::read(file).map_err(|error| format!("{error}; name the file of the issuer's certificate"))?;
    let mut issuers = RootCertStore::empty();
    for certificate in tls::read_chain(&text).map_err(|flaw| format!("{}; {}", flaw.what, flaw.mend))? {
        let unusable = |error| format!("holds a certificate that cannot be used: {error}; make one of X.509 version 3");
        issuers.add(certificate).map_err(unusable)?;
    }
    Ok(issuers)
}

/// What cannot be read or used there is left out: others of them may be the one.
fn of_the_system() -> RootCertStore {
    let mut issuers = RootCertStore::empty();
    issuers.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    issuers
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
