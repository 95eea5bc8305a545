//! TLS by rustls on AWS-LC: certificates with their keys, and what both sides of a connection are made by.
//!
//! ```text
//!     PEM of a chain --read_chain--> certificates --+--> Certificate --> server: the endpoint's side
//!     PEM of a key   --read_key----> key -----------'        `--> Flaw: what is wrong, how to mend it
//!     PEM of issuers --read_chain--> client: the side of commands and webhooks
//! ```
//!
//! Pure, but for `issuers_of_the_system`: other files are read by whoever names them.
//! Always: a certificate's key fits it, and neither is ever printed nor quoted by an error.
#![forbid(unsafe_code)]

mod certificate;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

pub use certificate::{Certificate, read_chain, read_key};

/// What is spoken inside (RFC 7301).
const HTTP_1_1: &[u8] = b"http/1.1";

/// What is wrong with a certificate or a key, and how to mend it. It quotes nothing of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub mend: &'static str,
}

impl Flaw {
    fn new(what: impl Into<String>, mend: &'static str) -> Self {
        Flaw { what: what.into(), mend }
    }
}

/// A server of HTTP/1.1 over TLS 1.2 and 1.3, whose certificate is asked for with each connection. No session is resumed: it
/// would go on under a certificate that was exchanged.
///
/// # Panics
/// Never: AWS-LC has cipher suites of both versions.
#[must_use]
pub fn server(certificate: Arc<dyn ResolvesServerCert>) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("AWS-LC has cipher suites of both versions");
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificate);
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

/// A client that trusts certificates of these issuers; `None` where there is none. It offers no protocol, which is HTTP/1.1 to
/// every server (RFC 9113, 3.2).
///
/// # Panics
/// Never: AWS-LC has cipher suites of both versions.
#[must_use]
pub fn client(issuers: RootCertStore) -> Option<Arc<ClientConfig>> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(issuers), provider()).build().ok()?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("AWS-LC has cipher suites of both versions");
    Some(Arc::new(builder.with_webpki_verifier(verifier).with_no_client_auth()))
}

/// Whom this system trusts. What cannot be read or used there is left out: others of them may be the one.
#[must_use]
pub fn issuers_of_the_system() -> RootCertStore {
    let mut issuers = RootCertStore::empty();
    issuers.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    issuers
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}
