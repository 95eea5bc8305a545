//! `[admin]`: where the endpoint listens, and what keeps strangers from it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Scope;
use crate::config::error::Wrong;
use crate::config::limits;
use crate::config::raw::{At, RawAdmin};
use crate::config::snapshot::{Admin, AdminAddress};
use crate::tls::{self, Certificate, Flaw};

impl Scope<'_> {
    pub(super) fn admin(&self, raw: &RawAdmin, now: SystemTime) -> Admin {
        let token_file = raw.token_file.as_ref().map(|path| self.files.path(&path.value));
        let listen = raw.listen.as_ref().map(|listen| listen.value.clone());
        let listen = listen.unwrap_or(AdminAddress::Tcp(limits::ADMIN_LISTEN_DEFAULT));
        if let Some(At { value: AdminAddress::Tcp(address), line }) = &raw.listen
            && !address.ip().is_loopback()
        {
            if !raw.names_token_file {
                let what = format!("{address} is reachable from other machines, and there is no token_file");
                let mend = "listen on loopback or a unix socket, or add token_file";
                self.report.at(*line, "[admin]: listen", Wrong::new(what, mend));
            } else if raw.tls_keys.is_empty() {
                let what = format!("{address} is reachable from other machines, and the token is sent in the clear");
                let mend = "add certificate_file and key_file, or listen on loopback or a unix socket";
                self.report.warn(*line, "[admin]: listen", Wrong::new(what, mend));
            }
        }
        Admin { certificate: self.certificate(raw, &listen, now), listen, token_file }
    }

    fn certificate(&self, raw: &RawAdmin, listen: &AdminAddress, now: SystemTime) -> Option<Certificate> {
        if matches!(listen, AdminAddress::Unix(_)) {
            for (key, line) in &raw.tls_keys {
                let wrong = Wrong::new("there is no TLS on a unix socket", "remove it, or listen on an address");
                self.report.at(*line, format!("[admin]: {key}"), wrong);
            }
            return None;
        }
        if let [(key, line)] = raw.tls_keys[..] {
            let other = if key == CERTIFICATE_FILE { KEY_FILE } else { CERTIFICATE_FILE };
            let wrong =
                Wrong::new(format!("there is no {other} beside it"), format!("add {other}, or remove this one"));
            self.report.at(line, format!("[admin]: {key}"), wrong);
            return None;
        }
        let (certificate_file, key_file) = (raw.certificate_file.as_ref()?, raw.key_file.as_ref()?);
        let chain = self.noted(CERTIFICATE_FILE, certificate_file, |path| {
            let content = self.files.read(path, limits::CERTIFICATE_FILE_BYTES_MAX)?;
            tls::read_chain(&content.bytes).map_err(|flaw| self.wrong(path, " ", flaw))
        });
        let key = self.noted(KEY_FILE, key_file, |path| {
            let content = self.read_guarded(path, limits::KEY_FILE_BYTES_MAX)?;
            tls::read_key(&content.bytes).map_err(|flaw| self.wrong(path, " ", flaw))
        });
        let (chain, key) = (chain?, key?);
        let certificate = self.noted(KEY_FILE, key_file, |path| {
            Certificate::new(chain, key).map_err(|flaw| self.wrong(path, ": ", flaw))
        })?;
        if let Some(flaw) = certificate.flaw_at(now) {
            let wrong = self.wrong(&certificate_file.value, ": ", flaw);
            self.report.warn(certificate_file.line, format!("[admin]: {CERTIFICATE_FILE}"), wrong);
        }
        Some(certificate)
    }

    /// What comes of a file, or `None` and the mistake at its line.
    fn noted<T>(&self, key: &str, file: &At<PathBuf>, read: impl FnOnce(&Path) -> Result<T, Wrong>) -> Option<T> {
        read(&file.value).map_err(|wrong| self.report.at(file.line, format!("[admin]: {key}"), wrong)).ok()
    }

    fn wrong(&self, path: &Path, between: &str, flaw: Flaw) -> Wrong {
        let Flaw { what, mend } = flaw;
        Wrong::new(format!("{}{between}{what}", self.files.path(path).display()), mend)
    }
}

const CERTIFICATE_FILE: &str = "certificate_file";
const KEY_FILE: &str = "key_file";
