//! `register`, `deregister`, `weight` and `port`: one request for all targets of a command, which the API makes or refuses
//! as a whole (requirement G10).
//!
//! ```text
//!   POST   /v1/target-groups/GROUP/targets  {"targets":[{"address":"10.0.0.5","port":80,"weight":20}]}
//!   DELETE                                  {"targets":[{"address":"10.0.0.5","port":80}]}
//!   PATCH                                   {"targets":[{"address":"10.0.0.5","port":80,"weight":0}]}, or "new_port"
//! ```

use std::num::NonZeroU16;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue, IF_MATCH};
use serde_json::{Map, Value, json};

use super::named::{self, Given, Kind, Named};
use crate::cli::api::{Ask, Endpoint, Format, encoded};
use crate::cli::show::{self, counted, plain};
use crate::cli::trouble::Trouble;

/// Where a change is made, and under which conditions.
#[derive(Debug, Args)]
struct Place {
    /// The target group's name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    group: String,
    /// Refuse unless this revision is in effect: nobody changed anything since it was looked at.
    #[arg(long, value_name = "NUMBER")]
    if_revision: Option<u64>,
    /// A word of one's own for this change: made again with the same word, it is not made twice.
    #[arg(long, value_name = "WORD", value_parser = idempotency_key)]
    idempotency_key: Option<HeaderValue>,
    /// What an id is of, such as eni for eni-1/10.0.0.7:80. Ids are of instances (cvm) if it is not said.
    #[arg(long, value_enum, value_name = "TYPE")]
    r#type: Option<Kind>,
}

#[derive(Debug, Args)]
pub(super) struct Register {
    #[command(flatten)]
    place: Place,
    /// TARGET or TARGET=WEIGHT, such as 10.0.0.5:80, ins-1:80=20 or eni-1/10.0.0.7:80.
    #[arg(required = true, value_name = "TARGET[=WEIGHT]", value_parser = named::maybe_weighed)]
    targets: Vec<Given<Option<u8>>>,
    /// The weight of those that name none, 0 to 100; the API's default, 10, if it is not said.
    #[arg(long, value_parser = named::weight)]
    weight: Option<u8>,
    /// The port of those that name none.
    #[arg(long)]
    port: Option<NonZeroU16>,
}

#[derive(Debug, Args)]
pub(super) struct Deregister {
    #[command(flatten)]
    place: Place,
    /// Such as 10.0.0.5:80 or ins-1:80.
    #[arg(required = true, value_name = "TARGET", value_parser = named::target)]
    targets: Vec<Named>,
}

#[derive(Debug, Args)]
pub(super) struct Weight {
    #[command(flatten)]
    place: Place,
    /// The target and its new weight, 0 to 100, such as 10.0.0.5:80=0.
    #[arg(required = true, value_name = "TARGET=WEIGHT", value_parser = named::weighed)]
    targets: Vec<Given<u8>>,
}

#[derive(Debug, Args)]
pub(super) struct Port {
    #[command(flatten)]
    place: Place,
    /// The target with its old port, and the new one, such as 10.0.0.5:80=8080.
    #[arg(required = true, value_name = "TARGET=PORT", value_parser = named::moved)]
    targets: Vec<Given<NonZeroU16>>,
}

/// A change as it is asked for.
#[derive(Debug)]
pub(super) struct Change {
    ask: Ask,
    /// What has been done when it is done.
    done: String,
}

pub(super) fn make(endpoint: &Endpoint, change: &Change) -> Result<(), Trouble> {
    let answer = endpoint.open()?.ask(&change.ask)?;
    match endpoint.format() {
        Format::Json => show::print_json(&answer)?,
        Format::Tables => {
            let revision = answer["revision"].as_u64().map(|revision| format!("revision {revision}: "));
            show::print(&format!("{}{}\n", revision.unwrap_or_default(), change.done))?;
        }
    }
    Ok(())
}

impl Register {
    pub(super) fn to_change(&self) -> Result<Change, String> {
        let kind = self.place.r#type;
        let target = |Given { target, value }: &Given<Option<u8>>| {
            let mut json = target.to_json(kind, self.port)?;
            if let Some(weight) = value.or(self.weight) {
                json.insert("weight".to_owned(), json!(weight));
            }
            if let Some(kind) = kind {
                json.insert("type".to_owned(), json!(kind.as_str()));
            }
            Ok(json)
        };
        self.place.change(Method::POST, self.targets.iter().map(target), ["registered", "in"])
    }
}

impl Deregister {
    pub(super) fn to_change(&self) -> Result<Change, String> {
        let target = |target: &Named| target.to_json(self.place.r#type, None);
        self.place.change(Method::DELETE, self.targets.iter().map(target), ["deregistered", "from"])
    }
}

impl Weight {
    pub(super) fn to_change(&self) -> Result<Change, String> {
        let target = |given: &Given<u8>| self.place.with("weight", &given.target, given.value);
        self.place.change(Method::PATCH, self.targets.iter().map(target), ["changed the weight of", "in"])
    }
}

impl Port {
    pub(super) fn to_change(&self) -> Result<Change, String> {
        let target = |given: &Given<NonZeroU16>| self.place.with("new_port", &given.target, given.value.get());
        self.place.change(Method::PATCH, self.targets.iter().map(target), ["changed the port of", "in"])
    }
}

impl Place {
    fn with(&self, key: &str, target: &Named, value: impl Into<Value>) -> Result<Map<String, Value>, String> {
        let mut json = target.to_json(self.r#type, None)?;
        json.insert(key.to_owned(), value.into());
        Ok(json)
    }

    fn change(
        &self,
        method: Method,
        targets: impl Iterator<Item = Result<Map<String, Value>, String>>,
        [verb, preposition]: [&str; 2],
    ) -> Result<Change, String> {
        let targets = targets.collect::<Result<Vec<_>, _>>()?;
        let done = format!("{verb} {} {preposition} {}", counted(targets.len(), "target"), plain(&self.group));
        // RFC 9110 section 13.1.1: an entity tag stands in quotes.
        let revision = self.if_revision.map(|revision| HeaderValue::try_from(format!("\"{revision}\"")));
        let revision = revision.transpose().map_err(|error| error.to_string())?;
        let headers = [(IF_MATCH, revision), (IDEMPOTENCY_KEY, self.idempotency_key.clone())];
        let ask = Ask {
            method,
            path: format!("/v1/target-groups/{}/targets", encoded(&self.group)),
            headers: headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
            body: Some(json!({ "targets": targets })),
        };
        Ok(Change { ask, done })
    }
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

fn idempotency_key(text: &str) -> Result<HeaderValue, String> {
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let value = is_word.then(|| HeaderValue::from_str(text).ok()).flatten();
    value.ok_or_else(|| "write visible ASCII characters without a space: a UUID, say".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::targets::{Targets, Verb};
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        targets: Targets,
    }

    fn change(line: &str) -> Result<Change, String> {
        let line =
            Line::try_parse_from(std::iter::once("targets").chain(line.split(' '))).map_err(|e| e.to_string())?;
        match line.targets.verb {
            Verb::List { .. } => Err("no change".to_owned()),
            Verb::Register(register) => register.to_change(),
            Verb::Deregister(deregister) => deregister.to_change(),
            Verb::Weight(weight) => weight.to_change(),
            Verb::Port(port) => port.to_change(),
        }
    }

    #[test]
    fn many_targets_are_one_request() {
        let register = change("register app 10.0.0.5:80 10.0.0.6=7 --weight 20 --port 8080").unwrap();
        assert_eq!((register.ask.method, register.ask.path.as_str()), (Method::POST, "/v1/target-groups/app/targets"));
        let targets = json!([
            { "address": "10.0.0.5", "port": 80, "weight": 20 }, { "address": "10.0.0.6", "port": 8080, "weight": 7 }
        ]);
        assert_eq!(register.ask.body, Some(json!({ "targets": targets })));
        assert_eq!(register.done, "registered 2 targets in app");
    }

    #[test]
    fn each_verb_has_its_method_and_its_keys() {
        for (line, method, target) in [
            ("register app ins-1:80", "POST", json!({ "instance_id": "ins-1", "port": 80 })),
            (
                "register app --type eni eni-1/10.0.0.7:80",
                "POST",
                json!({ "type": "eni", "eni_id": "eni-1", "address": "10.0.0.7", "port": 80 }),
            ),
            (
                "register app --type idc 10.0.0.7:80",
                "POST",
                json!({ "type": "idc", "address": "10.0.0.7", "port": 80 }),
            ),
            ("deregister app 10.0.0.5:80", "DELETE", json!({ "address": "10.0.0.5", "port": 80 })),
            ("weight app 10.0.0.5:80=0", "PATCH", json!({ "address": "10.0.0.5", "port": 80, "weight": 0 })),
            ("port app 10.0.0.5:80=81", "PATCH", json!({ "address": "10.0.0.5", "port": 80, "new_port": 81 })),
            (
                "weight app --type eni eni-1/10.0.0.7:80=5",
                "PATCH",
                json!({ "eni_id": "eni-1", "address": "10.0.0.7", "port": 80, "weight": 5 }),
            ),
        ] {
            let change = change(line).unwrap();
            assert_eq!(change.ask.method.as_str(), method, "{line}");
            assert_eq!(change.ask.body, Some(json!({ "targets": [target] })), "{line}");
            assert!(change.ask.headers.is_empty() && change.done.contains(" 1 target "), "{line}: {}", change.done);
        }
    }

    #[test]
    fn conditions_go_into_their_fields() {
        let change = change("weight a/b 10.0.0.5:80=0 --if-revision 42 --idempotency-key k-1").unwrap();
        assert_eq!(change.ask.path, "/v1/target-groups/a%2Fb/targets");
        let headers: Vec<(&str, &str)> =
            change.ask.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(headers, [("if-match", "\"42\""), ("idempotency-key", "k-1")]);
    }

    #[test]
    fn a_line_with_a_mistake_asks_for_nothing() {
        for (line, word) in [
            ("register app", "TARGET"),
            ("register app 10.0.0.5", "port is missing"),
            ("register app 10.0.0.5:80 --weight 101", "0 to 100"),
            ("register app 10.0.0.5:80=101", "0 to 100"),
            ("register app ins-1:80 --type idc", "no id"),
            ("register app 10.0.0.5:80 --type vm", "idc"),
            ("deregister app 10.0.0.5", "port is missing"),
            ("weight app 10.0.0.5:80", "TARGET=WEIGHT"),
            ("weight app 10.0.0.5=5", "port is missing"),
            ("port app 10.0.0.5:80=0", "1 to 65535"),
            ("port app", "TARGET=PORT"),
            ("weight app 10.0.0.5:80=5 --if-revision x", "if-revision"),
        ] {
            let error = change(line).unwrap_err();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
