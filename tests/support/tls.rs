//! Issuers and certificates made for one test, and a client that trusts one issuer.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;
use weir::tls;

use super::client;
use super::config::Config;

/// Later than any run of a test.
pub const FAR: i32 = 2100;

/// An issuer, and the files that it made.
pub struct Issuer {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Issuer {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no name at all");
        params.distinguished_name.push(DnType::CommonName, "an issuer of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an issuer");
        let folder = tempfile::tempdir().expect("a directory");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("write the issuer's certificate");
        Issuer { issuer, folder }
    }

    /// Its own certificate's file.
    pub fn file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes `admin.pem` and `admin.key` anew, for a name or an address, until the end of this year.
    pub fn issue(&self, name: &str, last_year: i32) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(1970, 1, 1);
        params.not_after = date_time_ymd(last_year, 12, 31);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        fs::write(self.path("admin.pem"), certificate.pem()).expect("write the certificate");
        let key_file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(self.path("admin.key"));
        key_file.and_then(|mut file| file.write_all(key.serialize_pem().as_bytes())).expect("write the key");
    }

    /// Gives the admin endpoint a certificate for its address.
    pub fn certify(&self, config: &mut Config) {
        self.issue(&config.admin.ip().to_string(), FAR);
        config.admin_keys += &self.keys();
        config.admin_issuer = Some(self.file());
    }

    /// Lines of `[admin]`.
    pub fn keys(&self) -> String {
        let [certificate, key] = ["admin.pem", "admin.key"].map(|name| self.path(name));
        format!("\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n", certificate.display(), key.display())
    }
}

/// A connection whose handshake is over.
pub type Https = StreamOwned<ClientConnection, TcpStream>;

/// Connects to whoever has a certificate for its address of the issuer of this file.
pub fn connect(to: SocketAddr, issuer: &Path) -> io::Result<Https> {
    let mut issuers = RootCertStore::empty();
    let chain = tls::read_chain(&fs::read(issuer)?).expect("the issuer's certificate");
    chain.into_iter().for_each(|certificate| issuers.add(certificate).expect("an issuer"));
    let config = tls::client(issuers).expect("there is an issuer");
    let connection = ClientConnection::new(config, ServerName::from(to.ip())).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, client::connect(to)?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// The certificate that the endpoint showed.
pub fn shown(stream: &Https) -> Vec<u8> {
    stream.conn.peer_certificates().and_then(<[_]>::first).expect("one was shown").to_vec()
}
