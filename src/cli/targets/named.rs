//! A target as it is written on the command line.
//!
//! ```text
//!   10.0.0.5:80   [fd00::5]:80   ins-1:80   eni-1/10.0.0.7:80        address, instance or interface, and port
//!   10.0.0.5:80=20                                                   with the value that it gets
//! ```

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::config::limits;

/// What a target is: requirement G2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// An instance, by its id, its primary private address, or both.
    Cvm,
    /// Another address of a network interface, by the interface's id and the address, or the address alone.
    Eni,
    /// An address in a data centre of one's own.
    Idc,
}

/// A target by id, address or both, and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    id: Option<String>,
    address: Option<IpAddr>,
    port: Option<NonZeroU16>,
}

/// A target and what it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given<T> {
    pub(super) target: Named,
    pub(super) value: T,
}

/// `TARGET`.
pub(super) fn target(text: &str) -> Result<Named, String> {
    let (id, place) = match text.split_once('/') {
        Some((id, place)) => (Some(identifier(id)?), place),
        None => (None, text),
    };
    if let Ok(address) = place.parse::<SocketAddr>() {
        let port = NonZeroU16::new(address.port()).ok_or("port 0 is no target's")?;
        return Ok(Named { id, address: Some(address.ip()), port: Some(port) });
    }
    let bare = place.strip_prefix('[').and_then(|place| place.strip_suffix(']')).unwrap_or(place);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(Named { id, address: Some(address), port: None });
    }
    if id.is_some() {
        return Err(format!("{place:?} is not an address with a port; {MEND}"));
    }
    let (id, port) = match place.split_once(':') {
        Some((id, port)) => (id, Some(port)),
        None => (place, None),
    };
    let port = port.map(|port| port.parse().map_err(|_| format!("{port:?} is not a port; {MEND}"))).transpose()?;
    Ok(Named { id: Some(identifier(id)?), address: None, port })
}

/// `TARGET=WEIGHT`.
pub(super) fn weighed(text: &str) -> Result<Given<u8>, String> {
    given(text, "weight", weight)
}

/// `TARGET[=WEIGHT]`.
pub(super) fn maybe_weighed(text: &str) -> Result<Given<Option<u8>>, String> {
    if text.contains('=') {
        let Given { target, value } = weighed(text)?;
        return Ok(Given { target, value: Some(value) });
    }
    Ok(Given { target: target(text)?, value: None })
}

/// `TARGET=PORT`.
pub(super) fn moved(text: &str) -> Result<Given<NonZeroU16>, String> {
    given(text, "port", |port| port.parse().map_err(|_| format!("{port:?} is not a port from 1 to 65535")))
}

pub(super) fn weight(text: &str) -> Result<u8, String> {
    let weight = u8::from_str(text).ok().filter(|weight| limits::WEIGHT.contains(weight));
    let (least, most) = (limits::WEIGHT.start(), limits::WEIGHT.end());
    weight.ok_or_else(|| format!("{text:?} is not a weight from {least} to {most}"))
}

fn given<T>(text: &str, what: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Given<T>, String> {
    let Some((name, value)) = text.rsplit_once('=') else {
        return Err(format!("the {what} is missing: write TARGET={}", what.to_uppercase()));
    };
    Ok(Given { target: target(name)?, value: read(value)? })
}

/// Of an instance or a network interface. It begins with a letter, so that no mistyped address passes for one.
fn identifier(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is neither an address nor an id; {MEND}"))
}

const MEND: &str = "write 10.0.0.5:80, [fd00::5]:80, ins-1:80 or eni-1/10.0.0.7:80";

impl Named {
    /// As the API names it: `port` is for targets without one of their own, `kind` says what an id is of.
    ///
    /// # Errors
    /// What is missing, or does not go together.
    pub(super) fn to_json(&self, kind: Option<Kind>, port: Option<NonZeroU16>) -> Result<Map<String, Value>, String> {
        let Some(port) = self.port.or(port) else {
            return Err(format!("{}: the port is missing; {MEND}", self.shown()));
        };
        let mut json = Map::from_iter([("port".to_owned(), json!(port))]);
        if let Some(address) = self.address {
            json.insert("address".to_owned(), json!(address));
        }
        if let Some(id) = &self.id {
            let key = match kind {
                Some(Kind::Idc) => {
                    return Err(format!("{}: a target of type idc has no id; name its address", self.shown()));
                }
                Some(Kind::Eni) => "eni_id",
                Some(Kind::Cvm) | None => "instance_id",
            };
            json.insert(key.to_owned(), json!(id));
        }
        Ok(json)
    }

    fn shown(&self) -> String {
        let address = self.address.map(|address| address.to_string());
        let parts: Vec<&str> = self.id.as_deref().into_iter().chain(address.as_deref()).collect();
        parts.join("/")
    }
}

impl Kind {
    /// As the API names it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::Cvm => "cvm",
            Kind::Eni => "eni",
            Kind::Idc => "idc",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json_of(text: &str, kind: Option<Kind>, port: Option<u16>) -> Result<Value, String> {
        target(text)?.to_json(kind, port.and_then(NonZeroU16::new)).map(Value::Object)
    }

    #[test]
    fn a_target_is_named_by_address_id_or_both() {
        for (text, kind, json) in [
            ("10.0.0.5:80", None, json!({ "address": "10.0.0.5", "port": 80 })),
            ("[fd00::5]:80", None, json!({ "address": "fd00::5", "port": 80 })),
            ("ins-1:80", None, json!({ "instance_id": "ins-1", "port": 80 })),
            (
                "ins-1/10.0.0.5:80",
                Some(Kind::Cvm),
                json!({ "instance_id": "ins-1", "address": "10.0.0.5", "port": 80 }),
            ),
            ("eni-1/10.0.0.7:80", Some(Kind::Eni), json!({ "eni_id": "eni-1", "address": "10.0.0.7", "port": 80 })),
            ("eni-1/[fd00::7]:80", Some(Kind::Eni), json!({ "eni_id": "eni-1", "address": "fd00::7", "port": 80 })),
            ("192.168.1.1:80", Some(Kind::Idc), json!({ "address": "192.168.1.1", "port": 80 })),
        ] {
            assert_eq!(json_of(text, kind, Some(9)).unwrap(), json, "{text}");
        }
    }

    #[test]
    fn a_target_without_a_port_gets_that_of_all_or_is_refused() {
        for text in ["10.0.0.5", "fd00::5", "[fd00::5]", "ins-1", "eni-1/10.0.0.7", "eni-1/fd00::7"] {
            assert_eq!(json_of(text, None, Some(9)).unwrap()["port"], 9, "{text}");
            let error = json_of(text, None, None).unwrap_err();
            assert!(error.contains("port is missing"), "{error}");
        }
        let error = json_of("ins-1:80", Some(Kind::Idc), None).unwrap_err();
        assert!(error.starts_with("ins-1: ") && error.contains("idc"), "{error}");
    }

    #[test]
    fn what_names_no_target_is_refused_with_what_to_write() {
        for bad in [
            "",
            ":",
            ":80",
            "/",
            "10.0.0.300:80",
            "10.0.0.5:",
            "10.0.0.5:0",
            "10.0.0.5:65536",
            "10.0.0.5:http",
            "ins-1:0",
            "ins-1:",
            "ins 1:80",
            "ins-1/ins-2:80",
            "eni-1/:80",
            "eni-1/10.0.0.7:",
            "/10.0.0.7:80",
            "a/b/10.0.0.7:80",
            "http://10.0.0.5:80",
            "10.0.0.5:80=5",
            "[10.0.0.5:80",
        ] {
            assert!(target(bad).is_err(), "{bad:?}");
        }
        assert!(target("10.0.0.300:80").unwrap_err().contains("write 10.0.0.5:80"));
    }

    #[test]
    fn values_stand_behind_the_target() {
        assert_eq!(weighed("10.0.0.5:80=0").unwrap().value, 0);
        assert_eq!(weighed("[fd00::5]:80=100").unwrap().value, 100);
        assert_eq!(maybe_weighed("10.0.0.5:80").unwrap().value, None);
        assert_eq!(maybe_weighed("10.0.0.5:80=7").unwrap().value, Some(7));
        assert_eq!(moved("10.0.0.5:80=8080").unwrap().value.get(), 8080);
        for (bad, word) in
            [("10.0.0.5:80", "TARGET=WEIGHT"), ("10.0.0.5:80=101", "0 to 100"), ("10.0.0.5:80=", "0 to 100")]
        {
            assert!(weighed(bad).unwrap_err().contains(word), "{bad}");
        }
        for (bad, word) in [("10.0.0.5:80", "TARGET=PORT"), ("10.0.0.5:80=0", "1 to 65535"), ("=80", "neither")] {
            assert!(moved(bad).unwrap_err().contains(word), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_address_and_port_is_a_target(address in any::<SocketAddr>(), weight in 0_u8..=100) {
            // A scope has no place in a target's address.
            prop_assume!(address.port() > 0 && matches!(address, SocketAddr::V4(_)));
            let given = weighed(&format!("{address}={weight}")).unwrap();
            let json = given.target.to_json(None, None).unwrap();
            prop_assert_eq!(&json["address"], &json!(address.ip()));
            prop_assert_eq!(&json["port"], &json!(address.port()));
            prop_assert_eq!(given.value, weight);
        }

        #[test]
        fn no_text_is_a_panic(text in any::<String>()) {
            let _ = (target(&text), maybe_weighed(&text), moved(&text));
        }
    }
}
