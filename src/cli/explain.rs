//! `weir explain`: where a connection or request would go now, and why not elsewhere. The API answers; this only asks.

use std::net::IpAddr;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::Value;

use super::api::{Endpoint, Format, encoded};
use super::show;
use super::trouble::Trouble;

/// The connection or request in question.
#[derive(Debug, Args)]
pub(super) struct Question {
    /// The listener's name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    listener: String,
    /// Where the connection comes from, without port: security groups and targets of the same address depend on it.
    #[arg(long, value_name = "ADDRESS", value_parser = client)]
    client: IpAddr,
    /// The request's method. This and what follows is for listeners that speak HTTP.
    #[arg(long)]
    method: Option<String>,
    /// Its host, as in the field `Host`.
    #[arg(long)]
    host: Option<String>,
    /// Its path, with a query or without: `/shop?item=1`.
    #[arg(long, value_parser = path)]
    path: Option<String>,
    /// A header field, `Name: value`; may be given several times.
    #[arg(long, value_name = "FIELD", value_parser = field)]
    header: Vec<String>,
    #[command(flatten)]
    endpoint: Endpoint,
}

pub(super) fn explain(question: &Question) -> Result<(), Trouble> {
    let answer = question.endpoint.open()?.get(&question.to_path())?;
    match question.endpoint.format() {
        Format::Json => show::print_json(&answer)?,
        Format::Tables => show::print(&text(answer))?,
    }
    Ok(())
}

/// What becomes of it in a sentence, and then everything that the API says.
fn text(mut answer: Value) -> String {
    let outcome = answer.get_mut("outcome").and_then(Value::as_object_mut);
    let Some(Value::String(sentence)) = outcome.and_then(|outcome| outcome.remove("text")) else {
        return show::outline(&answer);
    };
    format!("{}\n\n{}", show::plain(&sentence), show::outline(&answer))
}

impl Question {
    fn to_path(&self) -> String {
        let (path, query) = match self.path.as_deref().map(|path| path.split_once('?').ok_or(path)) {
            None => (None, None),
            Some(Err(path)) => (Some(path), None),
            Some(Ok((path, query))) => (Some(path), Some(query)),
        };
        let client = self.client.to_string();
        let given = [
            ("listener", Some(self.listener.as_str())),
            ("client", Some(client.as_str())),
            ("method", self.method.as_deref()),
            ("host", self.host.as_deref()),
            ("path", path),
            ("query", query),
        ];
        let headers = self.header.iter().map(|field| ("header", Some(field.as_str())));
        let given = given.into_iter().chain(headers).filter_map(|(key, value)| Some((key, value?)));
        let given: Vec<String> = given.map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        format!("/v1/explain?{}", given.join("&"))
    }
}

fn client(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map_err(|_| "write an IP address, without port or brackets: 203.0.113.7 or 2001:db8::1")
}

fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') || text == "*" {
        return Ok(text.to_owned());
    }
    Err("a path begins with a slash: /shop?item=1; the host has its own option".to_owned())
}

fn field(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        Some((name, _)) if !name.is_empty() && !name.contains(char::is_whitespace) => Ok(text.to_owned()),
        _ => Err("write a name, a colon and a value: 'X-Version: 2'".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        question: Question,
    }

    fn asked(arguments: &[&str]) -> Result<String, String> {
        let line = Line::try_parse_from(["explain"].iter().chain(arguments));
        line.map(|line| line.question.to_path()).map_err(|error| error.to_string())
    }

    #[test]
    fn only_what_is_given_is_asked_for() {
        assert_eq!(asked(&["mail", "--client", "192.0.2.9"]).unwrap(), "/v1/explain?listener=mail&client=192.0.2.9");
        assert_eq!(asked(&["mail", "--client", "fd00::1"]).unwrap(), "/v1/explain?listener=mail&client=fd00%3A%3A1");
    }

    #[test]
    fn path_query_and_fields_arrive_as_typed() {
        let path = asked(&[
            "web",
            "--client",
            "192.0.2.9",
            "--method",
            "GET",
            "--host",
            "a.example",
            "--path",
            "/a b/%20?x=1&y=?",
            "--header",
            "X-A: 1&2",
            "--header",
            "X-B:",
        ]);
        assert_eq!(
            path.unwrap(),
            "/v1/explain?listener=web&client=192.0.2.9&method=GET&host=a.example&path=%2Fa%20b%2F%2520&query=x%3D1%26y%3D%3F\
             &header=X-A%3A%201%262&header=X-B%3A"
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (bad, word) in [
            (&["web", "--path", "a.example/"][..], "slash"),
            (&["web", "--header", "X-A"], "colon"),
            (&["web", "--header", ": 1"], "colon"),
            (&["web"], "--client <ADDRESS>"),
            (&["web", "--client", "a.example"], "write an IP address"),
            (&["web", "--client", "192.0.2.9:80"], "without port"),
            (&[""], "value"),
            (&[], "LISTENER"),
        ] {
            let error = asked(bad).unwrap_err();
            assert!(error.contains(word), "{bad:?}: {error}");
        }
    }
}
