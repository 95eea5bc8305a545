//! What the description of the admin API (control/admin/openapi.rs) says of values, where no type of ours does.
//!
//! A field says which schema is its own by `#[schema(value_type = Option<schema::Address>)]`. A whole number is one by its value:
//! to JSON Schema (2020-12, validation, 6.1.1) 80.0 is an integer, and some languages write it so.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};
use utoipa::openapi::schema::{AnyOfBuilder, Schema, SchemaType};
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::config::limits;

/// An IP address.
pub(crate) struct Address;

/// A time in UTC, as RFC 3339 writes it.
pub(crate) struct Time;

/// A name of the config, or an id of the inventory.
pub(crate) struct Name;

/// An absolute http or https URL of a host's, without a user and a fragment.
pub(crate) struct WebUrl;

/// An object of any shape.
pub(crate) struct AnyObject;

/// Characters of a `Name`, as a regular expression.
pub(crate) const NAME_PATTERN: &str = "^[A-Za-z0-9._-]{1,80}$";
const _: () = assert!(limits::NAME_BYTES_MAX == 80);

/// What of `WebUrl` a regular expression can say: a name or an IPv4 address, a port from 1 to 65535, a path.
const WEB_URL_PATTERN: &str = "^https?://[A-Za-z0-9._-]{1,253}\
     (:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?\
     (/[A-Za-z0-9._~/-]*)?$";

impl ToSchema for Address {
    fn name() -> Cow<'static, str> {
        "Address".into()
    }
}

impl PartialSchema for Address {
    fn schema() -> RefOr<Schema> {
        let of =
            |format| ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(format)));
        let families = AnyOfBuilder::new().item(of(KnownFormat::Ipv4)).item(of(KnownFormat::Ipv6));
        Schema::AnyOf(families.description(Some("An IP address.")).build()).into()
    }
}

impl ToSchema for Time {
    fn name() -> Cow<'static, str> {
        "Time".into()
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        let time = ObjectBuilder::new().schema_type(Type::String);
        let time = time.format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        // Of the system's clock: from 1970 on.
        let time = time.pattern(Some("^(19[7-9][0-9]|[2-9][0-9]{3})-.*Z$"));
        time.description(Some("A time in UTC, as RFC 3339 writes it.")).into()
    }
}

impl ToSchema for Name {
    fn name() -> Cow<'static, str> {
        "Name".into()
    }
}

impl PartialSchema for Name {
    fn schema() -> RefOr<Schema> {
        let name = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).pattern(Some(NAME_PATTERN));
        name.description(Some("A name of the config, or an id of the inventory.")).into()
    }
}

impl ToSchema for WebUrl {
    fn name() -> Cow<'static, str> {
        "WebUrl".into()
    }
}

impl PartialSchema for WebUrl {
    fn schema() -> RefOr<Schema> {
        let url = ObjectBuilder::new().schema_type(Type::String).pattern(Some(WEB_URL_PATTERN));
        let about = "An absolute http or https URL of at most 2048 bytes, without a user and a fragment.";
        url.max_length(Some(limits::WEBHOOK_URL_BYTES_MAX)).description(Some(about)).into()
    }
}

impl ToSchema for AnyObject {
    fn name() -> Cow<'static, str> {
        "AnyObject".into()
    }
}

impl PartialSchema for AnyObject {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Object).into()
    }
}

/// What a JSON object says, by its keys alone: a type that serde derives would take a list of the values, too.
pub(crate) struct ByName<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ByName<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys(PhantomData)).map(ByName)
    }
}

struct Keys<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Keys<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// A list of objects, each by its keys alone: `#[serde(deserialize_with = "schema::objects")]`.
///
/// # Errors
/// It is no list, or has something else in it.
pub(crate) fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let objects = Vec::<ByName<T>>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|ByName(object)| object).collect())
}

/// A number that is whole, however it is written: `#[serde(deserialize_with = "schema::whole")]`.
///
/// # Errors
/// It is no number, not whole, or out of the type's range.
pub(crate) fn whole<'de, D: Deserializer<'de>, N: TryFrom<u64>>(deserializer: D) -> Result<N, D::Error> {
    deserializer.deserialize_u64(Whole(PhantomData))
}

/// As `whole`, or null.
///
/// # Errors
/// As `whole`.
pub(crate) fn whole_or_null<'de, D: Deserializer<'de>, N: TryFrom<u64>>(
    deserializer: D,
) -> Result<Option<N>, D::Error> {
    deserializer.deserialize_option(OrNull(PhantomData))
}

struct Whole<N>(PhantomData<N>);

impl<N: TryFrom<u64>> Visitor<'_> for Whole<N> {
    type Value = N;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = 8 * size_of::<N>();
        write!(f, "a whole number of {bits} bits")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<N, E> {
        N::try_from(value).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<N, E> {
        if value.fract() != 0.0 || !(0.0..=WHOLE_MAX).contains(&value) {
            return Err(E::invalid_value(Unexpected::Float(value), &self));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and in the range")]
        self.visit_u64(value as u64)
    }
}

/// Up to 2^53 each whole number is a number of its own (IEEE 754).
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

struct OrNull<N>(PhantomData<N>);

impl<'de, N: TryFrom<u64>> Visitor<'de> for OrNull<N> {
    type Value = Option<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Whole::<N>(PhantomData).expecting(f)?;
        f.write_str(", or null")
    }

    fn visit_none<E: Error>(self) -> Result<Option<N>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<N>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<N>, D::Error> {
        whole(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Numbers {
        #[serde(deserialize_with = "super::whole")]
        port: u16,
        #[serde(default, deserialize_with = "super::whole_or_null")]
        weight: Option<u8>,
    }

    fn read(text: &str) -> Result<(u16, Option<u8>), String> {
        let numbers: Result<Numbers, _> = serde_json::from_str(text);
        numbers.map(|numbers| (numbers.port, numbers.weight)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        assert_eq!(read("{\"port\":80}"), Ok((80, None)));
        assert_eq!(read("{\"port\":80.0,\"weight\":1e2}"), Ok((80, Some(100))));
        assert_eq!(read("{\"port\":65535.0,\"weight\":null}"), Ok((65535, None)));
    }

    #[test]
    fn what_is_none_is_refused_and_said() {
        for bad in ["80.5", "-1", "-1.0", "65536", "65536.0", "1e300", "\"80\"", "null", "[80]", "true"] {
            let error = read(&format!("{{\"port\":{bad}}}")).expect_err(bad);
            assert!(error.contains("a whole number of 16 bits"), "{bad}: {error}");
        }
        assert!(read("{\"port\":80,\"weight\":256.0}").expect_err("256").contains("8 bits"));
    }
}
