//! The question as it came: `listener=web&client=203.0.113.9&method=GET&host=a.example&path=/x&header=Cookie: a=b`.
//!
//! `+` is a space and `%XX` a byte, as forms are sent. What makes a good HTTP request is not judged here: the listener's own
//! parser does that, so that what it refuses is explained as refused.

use std::net::IpAddr;

use percent_encoding::percent_decode;

use crate::config::{Listener, Service};
use crate::l7::framing::is_token;

/// Whom and what an explanation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) struct Asked {
    pub(super) listener: String,
    pub(super) client: IpAddr,
    pub(super) method: Option<String>,
    /// `host[:port]`.
    pub(super) host: Option<String>,
    /// With its slash, without query.
    pub(super) path: Option<String>,
    /// Without question mark.
    pub(super) query: Option<String>,
    /// Name and value.
    pub(super) headers: Vec<(String, String)>,
}

/// What is wrong with a question, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) struct Mistake {
    pub(in crate::control) what: String,
    pub(in crate::control) mend: &'static str,
}

impl Mistake {
    pub(super) fn new(what: impl Into<String>, mend: &'static str) -> Self {
        Mistake { what: what.into(), mend }
    }
}

const PARAMETERS: &str =
    "the parameters are listener, client, method, host, path, query, and header as often as needed";

impl Asked {
    /// Reads the query of a URL, without its question mark.
    ///
    /// # Errors
    /// The first mistake.
    pub(in crate::control) fn parse(query: &str) -> Result<Self, Mistake> {
        let mut given = Given::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            given.take(&decoded(name)?, decoded(value)?)?;
        }
        let Some(listener) = given.listener else {
            return Err(Mistake::new("listener is missing", "add listener=NAME; GET /v1/listeners lists them"));
        };
        let Some(client) = given.client else {
            return Err(Mistake::new("client is missing", "add client=203.0.113.9: the address that connects"));
        };
        let Ok(client) = client.parse::<IpAddr>() else {
            return Err(Mistake::new(
                format!("client is {}, which is no IP address", quoted(&client)),
                "write it like client=203.0.113.9 or client=2001:db8::1, without port or brackets",
            ));
        };
        let (path, query) = path_and_query(given.path, given.query)?;
        let Given { method, host, headers, .. } = given;
        let asked = Asked { listener, client: client.to_canonical(), method, host, path, query, headers };
        asked.can_be_sent()?;
        Ok(asked)
    }

    /// Whether the question can be asked of this listener at all.
    pub(super) fn fits(&self, listener: &Listener) -> Result<(), Mistake> {
        if self.client.is_ipv6() != listener.address.is_ipv6() {
            let family = |is_ipv6: bool| if is_ipv6 { "IPv6" } else { "IPv4" };
            let what = format!(
                "no {} client reaches a listener at {}, an {} address",
                family(self.client.is_ipv6()),
                listener.address,
                family(listener.address.is_ipv6())
            );
            return Err(Mistake::new(what, "give a client of the listener's family, or name another listener"));
        }
        let is_about_a_request = self.method.is_some()
            || self.host.is_some()
            || self.path.is_some()
            || self.query.is_some()
            || !self.headers.is_empty();
        if is_about_a_request && matches!(listener.service, Service::Relay(_)) {
            let what = format!("listener {} is tcp: it looks at no request", quoted(&listener.name));
            return Err(Mistake::new(what, "leave out method, host, path, query and header"));
        }
        Ok(())
    }

    /// A line end in one of them would make another request of it, a space in the method another method.
    fn can_be_sent(&self) -> Result<(), Mistake> {
        let texts = [("host", &self.host), ("path", &self.path), ("query", &self.query)];
        let texts = texts.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?)));
        let headers = self.headers.iter().flat_map(|(name, value)| [("header", &**name), ("header", &**value)]);
        for (name, text) in texts.chain(headers) {
            if text.contains(['\r', '\n', '\0']) {
                return Err(Mistake::new(format!("{name} has a line end in it"), "leave it out: it is one line"));
            }
        }
        if let Some(method) = self.method.as_deref().filter(|method| !is_token(method.as_bytes())) {
            return Err(Mistake::new(format!("{} is no method", quoted(method)), "write it like method=GET"));
        }
        if let Some(path) = self.path.as_deref().filter(|path| !path.starts_with('/') && *path != "*") {
            return Err(Mistake::new(format!("path is {}", quoted(path)), "begin it with a slash: path=/index.html"));
        }
        Ok(())
    }
}

/// As they come; each but `header` once.
#[derive(Debug, Default)]
struct Given {
    listener: Option<String>,
    client: Option<String>,
    method: Option<String>,
    host: Option<String>,
    path: Option<String>,
    query: Option<String>,
    headers: Vec<(String, String)>,
}

impl Given {
    fn take(&mut self, name: &str, value: String) -> Result<(), Mistake> {
        let place = match name {
            "listener" => &mut self.listener,
            "client" => &mut self.client,
            "method" => &mut self.method,
            "host" => &mut self.host,
            "path" => &mut self.path,
            "query" => &mut self.query,
            "header" => {
                self.headers.push(header(&value)?);
                return Ok(());
            }
            other => return Err(Mistake::new(format!("there is no parameter {}", quoted(other)), PARAMETERS)),
        };
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(Mistake::new(format!("{name} is given twice"), "give it once; header may come often")),
        }
    }
}

fn header(text: &str) -> Result<(String, String), Mistake> {
    let mend = "write it like header=User-Agent:%20curl/8";
    let Some((name, value)) = text.split_once(':') else {
        return Err(Mistake::new(format!("header {} has no colon", quoted(text)), mend));
    };
    if name.eq_ignore_ascii_case("host") {
        return Err(Mistake::new("Host is not given as a header", "give host=www.example.com"));
    }
    if !is_token(name.as_bytes()) {
        return Err(Mistake::new(format!("{} is no name of a header", quoted(name)), mend));
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

/// A path may have its query with it.
fn path_and_query(path: Option<String>, query: Option<String>) -> Result<(Option<String>, Option<String>), Mistake> {
    let Some((before, after)) = path.as_deref().and_then(|path| path.split_once('?')) else { return Ok((path, query)) };
    if query.is_some() {
        return Err(Mistake::new("path has a query, and query is given as well", "give the query once"));
    }
    Ok((Some(before.to_owned()), Some(after.to_owned())))
}

fn decoded(text: &str) -> Result<String, Mistake> {
    let with_spaces = text.replace('+', " ");
    match percent_decode(with_spaces.as_bytes()).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(Mistake::new(
            format!("{} is not UTF-8 when decoded", quoted(text)),
            "write %25 for a percent sign that is to stay: path=/%25FF asks about the path /%FF",
        )),
    }
}

/// What came from outside, cut and escaped.
pub(in crate::control) fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(QUOTED_CHARACTERS_MAX).collect();
    format!("{cut:?}")
}

/// Ours: enough to recognise it.
const QUOTED_CHARACTERS_MAX: usize = 80;
