//! A certificate with its issuers' and its private key, out of PEM (RFC 7468).

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::Error;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode;

use super::{Flaw, provider};

/// A certificate, those of its issuers behind it, and its key. Two are equal if their certificates and keys are.
#[derive(Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    validity: Option<Validity>,
    digest: blake3::Hash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Validity {
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Certificate {
    /// Puts a chain, the certificate itself first, and its key together.
    ///
    /// # Errors
    /// The key is of no kind that TLS has, or does not fit the first certificate, or that cannot be used.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, Flaw> {
        let mut hasher = blake3::Hasher::new();
        for part in chain.iter().map(AsRef::as_ref).chain([key.secret_der()]) {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let validity = chain.first().and_then(|certificate| validity_of(certificate));
        let provider = provider();
        let key = provider.key_provider.load_private_key(key).map_err(|_| {
            Flaw::new(
                "the key is none that can be used",
                "make an RSA key of 2048 bits or more, or one for ECDSA or Ed25519",
            )
        })?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) => Ok(Certificate { key: Arc::new(key), validity, digest: hasher.finalize() }),
            Err(Error::InvalidCertificate(error)) => {
                Err(Flaw::new(format!("the certificate cannot be used: {error}"), "make one of X.509 version 3"))
            }
            Err(_) => Err(Flaw::new(
                "the key does not fit the certificate",
                "name the two that belong together; the certificate itself comes before its issuers' in its file",
            )),
        }
    }

    /// For the handshake.
    #[must_use]
    pub fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }

    /// Its last moment, where it can be read.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.validity.map(|validity| validity.not_after)
    }

    /// What is wrong with it at this time: it holds no more, or not yet.
    #[must_use]
    pub fn flaw_at(&self, now: SystemTime) -> Option<Flaw> {
        let Validity { not_before, not_after } = self.validity?;
        let at = |time| humantime::format_rfc3339_seconds(time);
        if now > not_after {
            let what = format!("it expired at {}, so clients refuse it", at(not_after));
            return Some(Flaw::new(what, "renew it; a reload takes it"));
        }
        let what = || format!("it is not valid before {}, so clients refuse it", at(not_before));
        (now < not_before).then(|| Flaw::new(what(), "look at this machine's clock, or wait"))
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Certificate {}

/// A key is not printed.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("validity", &self.validity).finish_non_exhaustive()
    }
}

/// The certificates of a PEM text, in its order; at least one.
///
/// # Errors
/// There is none, or one that is not whole.
pub fn read_chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(|_| Flaw::new("is not whole PEM", "copy it anew, each line with nothing left out"))?;
    if chain.is_empty() {
        let mend = "name a PEM file: -----BEGIN CERTIFICATE-----";
        return Err(Flaw::new("holds no certificate in PEM", mend));
    }
    Ok(chain)
}

/// The first key of a PEM text.
///
/// # Errors
/// There is none that can be read without a passphrase.
pub fn read_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Flaw> {
    // PKCS#8 says it in its first line (RFC 7468, 11), the older forms in a field (RFC 1421, 4.6.1.1).
    if text.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED) {
        return Err(Flaw::new("holds a key with a passphrase", "take it off: openssl pkey -in KEY -out NEW_KEY"));
    }
    match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => {
            Err(Flaw::new("holds no private key in PEM", "name a PEM file: -----BEGIN PRIVATE KEY-----"))
        }
        Err(_) => Err(Flaw::new("is not whole PEM", "copy it anew, each line with nothing left out")),
    }
}

const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// `None` where it cannot be read: whether a certificate can be used is for others to say.
fn validity_of(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let validity = x509_cert::Certificate::from_der(certificate).ok()?.tbs_certificate.validity;
    Some(Validity { not_before: validity.not_before.to_system_time(), not_after: validity.not_after.to_system_time() })
}
