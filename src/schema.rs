//! Schemas of texts that have no type of ours, for the description of the admin API (control/admin/openapi.rs).
//!
//! A field says which one it is by `#[schema(value_type = Option<schema::Address>)]`.
#![forbid(unsafe_code)]

use std::borrow::Cow;

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

/// An object of any shape.
pub(crate) struct AnyObject;

/// Characters of a `Name`, as a regular expression.
pub(crate) const NAME_PATTERN: &str = "^[A-Za-z0-9._-]{1,80}$";
const _: () = assert!(limits::NAME_BYTES_MAX == 80);

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
