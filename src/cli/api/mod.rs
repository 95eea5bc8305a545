//! The admin API of a weir that runs, as the commands ask it.
//!
//! ```text
//!   Endpoint (--admin, --token-file, --ca-file) --open--> Api --get, change--> caller: connect, one request --> JSON
//!                                                                                   |                      `--> Trouble: exit code, words
//!                                                                                   `--> tls: whom to trust
//! ```
//!
//! Outside it blocks; inside is a tokio runtime of this thread.
//! Always: every request has an end and every answer a size; nothing is asked twice, since a change might be made twice.

mod address;
mod caller;
mod shapes;
#[cfg(test)]
mod tests;
mod tls;
mod token;

use std::mem::ManuallyDrop;
use std::path::PathBuf;

use clap::Args;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::trouble::{Exit, Trouble};
use address::Address;
use caller::Caller;
pub(super) use shapes::{
    Group, GroupTargets, Groups, Health, Http, LastCheck, Listener, Revisions, Shard, ShardReport, Status, Target,
};

/// Options of every command that asks a weir that runs.
#[derive(Debug, Args)]
pub(super) struct Endpoint {
    /// Where that weir's admin endpoint is: HOST:PORT or unix:PATH, as its `[admin] listen` says, or <https://HOST:PORT>.
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS",
        env = "WEIR_ADMIN",
        default_value_t = Address::default(),
        value_parser = address::parse
    )]
    admin: Address,
    /// The file that holds its token, where its `[admin]` has a `token_file`.
    #[arg(long, global = true, value_name = "FILE", env = "WEIR_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// The certificate of the issuer of the endpoint's, where it speaks https and the system does not trust that issuer.
    #[arg(long, global = true, value_name = "FILE", env = "WEIR_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// Print the API's JSON instead of tables.
    #[arg(long, global = true)]
    json: bool,
}

/// What an answer is printed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Tables for people. They may change with any version.
    Tables,
    /// The API's JSON, for scripts.
    Json,
}

/// A weir that runs.
#[derive(Debug)]
pub(super) struct Api {
    /// Never dropped: that would wait for a name lookup that hangs. The process ends with the command.
    runtime: ManuallyDrop<Runtime>,
    caller: Caller,
}

/// One request.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Path and query, already encoded.
    pub(super) path: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Option<Value>,
}

impl Endpoint {
    pub(super) fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Tables }
    }

    /// Nothing is connected before the first request.
    ///
    /// # Errors
    /// The token file or the issuer's certificate cannot be used.
    pub(super) fn open(&self) -> Result<Api, Trouble> {
        let token = self.token_file.as_deref().map(token::read).transpose()?;
        let tls = tls::config(&self.admin, self.ca_file.as_deref())?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| format!("cannot start: {error}; is a file descriptor left (ulimit -n)?"))?;
        Ok(Api { runtime: ManuallyDrop::new(runtime), caller: Caller::new(self.admin.clone(), tls, token) })
    }
}

impl Api {
    /// What is at a path, as JSON.
    ///
    /// # Errors
    /// No answer, or not a good one.
    pub(super) fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.ask(&Ask { method: Method::GET, path: path.to_owned(), headers: Vec::new(), body: None })
    }

    /// The answer to a request, as JSON.
    ///
    /// # Errors
    /// No answer, or not a good one.
    pub(super) fn ask(&self, ask: &Ask) -> Result<Value, Trouble> {
        self.runtime.block_on(self.caller.ask(ask))
    }
}

/// What is understood of an answer. Weir may add to its answers, so what is not known is left alone.
///
/// # Errors
/// Something is missing in it.
pub(super) fn understood<'a, T: Deserialize<'a>>(answer: &'a Value) -> Result<T, Trouble> {
    T::deserialize(answer).map_err(|error| {
        let message = format!(
            "the answer is not understood: {error}; is the weir that runs of another version than this command? With --json \
             it is printed as it is"
        );
        Trouble::new(Exit::Failed, message)
    })
}

/// A part of a path or query with everything escaped that means something there (RFC 3986 section 2.3).
pub(super) fn encoded(part: &str) -> String {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(part, ESCAPED).to_string()
}
