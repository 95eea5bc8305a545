//! The description of this API: `GET /v1/openapi.json`, `OpenAPI` 3.1.
//!
//! ```text
//!     handler, #[utoipa::path]: what it takes, what it gives --routes!--> OpenApiRouter --> Router
//!     token, time limit: what they refuse, alike for all ---------------------+--> document
//! ```
//!
//! `routes!` serves a handler and describes it in one, so that no path is served and not described. Bodies are the types that
//! serde reads and writes. A new handler names its refusals (`RefusedChange`, say) and its parameters (`GroupName`, `Terms`), and
//! goes into `router.rs`.
//! Always: an answer that is not described here is a bug; tests/process/openapi.rs looks for one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::Extension;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder, Type,
};
use utoipa::{IntoParams, IntoResponses, PartialSchema, ToSchema};

use super::error::ErrorBody;
use crate::schema;

const ABOUT: &str = "Shows a balancer that runs, and changes its targets while connections run. What it changes is kept in \
                     state_dir. Every error is an `Error`. docs/api.md is for people.";

/// Answers that are errors: status, name, and when.
const REFUSALS: [(&str, &str, &str); 11] = [
    ("400", "BadRequest", "The body, a header, a parameter or the path is not as described."),
    ("401", "Unauthorized", "No token, or a wrong one."),
    (
        "403",
        "ForeignPage",
        "A browser sends it for a page of another origin, or it is for another name than `localhost`.",
    ),
    ("404", "NotFound", "There is no such group, target, record, listener or revision."),
    ("409", "Conflict", "It is there already, belongs to the file, cannot be bound, or there is no state_dir."),
    ("412", "OtherRevision", "`If-Match` names another revision."),
    ("413", "TooLarge", "The body is larger than 1 MiB."),
    ("422", "Invalid", "A value is out of its range or does not go with another, or the config file is wrong."),
    ("429", "TooManyRequests", "More changes than may be made in the time: ask again later."),
    ("503", "Unavailable", "It starts, stops, is overloaded, or does not answer in time."),
    ("507", "NotKept", "The disk did not take it; nothing changed."),
];

/// The scheme of the token.
const BEARER: &str = "token";

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Whoever has the token.
    Token,
    /// Whoever can connect.
    Everyone,
}

/// The description of this API, as `OpenAPI` 3.1.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    responses((status = 200, description = "This document.", body = inline(schema::AnyObject))),
)]
pub(super) async fn openapi(Extension(document): Extension<Arc<OpenApi>>) -> Json<Arc<OpenApi>> {
    Json(document)
}

/// The whole document, of what `routes!` has collected. Nobody needs a token for `open` paths.
pub(super) fn document(mut collected: OpenApi, access: Access, open: &[&str]) -> OpenApi {
    collected.info = InfoBuilder::new()
        .title("Weir's admin API")
        .description(Some(ABOUT))
        .version(env!("CARGO_PKG_VERSION"))
        .build();
    for (path, item) in &mut collected.paths.paths {
        let is_open = open.contains(&path.as_str());
        operations(item).for_each(|operation| guarded(operation, access, is_open));
    }
    let components = collected.components.get_or_insert_with(Components::new);
    components.schemas.insert(ErrorBody::name().into_owned(), ErrorBody::schema());
    let mut schemas = Vec::new();
    ErrorBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    let refusals = REFUSALS.map(|(status, name, when)| (name.to_owned(), refusal(status, when).into()));
    components.responses.extend(refusals);
    if access == Access::Token {
        components.add_security_scheme(BEARER, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
    collected
}

/// Those of a path.
fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, post, put, patch, delete, .. } = item;
    [get, post, put, patch, delete].into_iter().flatten()
}

/// With what the guard (router.rs) refuses. What is open is anybody's.
fn guarded(operation: &mut Operation, access: Access, is_open: bool) {
    let mut add = |status: &str| {
        let refusal = operation.responses.responses.entry(status.to_owned());
        refusal.or_insert_with(|| named(status));
    };
    add("503");
    match access {
        _ if is_open => {}
        Access::Token => {
            add("401");
            operation.security = Some(vec![SecurityRequirement::new(BEARER, [] as [&str; 0])]);
        }
        Access::Everyone => add("403"),
    }
}

fn refusal(status: &str, when: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(ErrorBody::name()))).build();
    let response = ResponseBuilder::new().description(when).content("application/json", content);
    let header = |about: &str| {
        let schema = ObjectBuilder::new().schema_type(Type::String).build();
        HeaderBuilder::new().schema(Some(schema)).description(Some(about)).build()
    };
    match status {
        "401" => response.header("WWW-Authenticate", header("`Bearer` (RFC 6750).")),
        "429" => response.header("Retry-After", header("In so many seconds a change is made again.")),
        _ => response,
    }
    .build()
}

/// A refusal by its name.
fn named(status: &str) -> RefOr<Response> {
    let name = REFUSALS.iter().find(|(of, ..)| *of == status).map_or("BadRequest", |(_, name, _)| name);
    Ref::from_response_name(name).into()
}

fn refusals(statuses: &[&str]) -> BTreeMap<String, RefOr<Response>> {
    statuses.iter().map(|status| ((*status).to_owned(), named(status))).collect()
}

/// What is asked for by name is not there, or cannot be a name.
pub(super) struct NotFound;

impl IntoResponses for NotFound {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&["400", "404"])
    }
}

/// There is no such listener, or the question is none, or none for it.
pub(super) struct NotExplained;

impl IntoResponses for NotExplained {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&["400", "404", "422"])
    }
}

/// Why a change is not made.
pub(super) struct RefusedChange;

impl IntoResponses for RefusedChange {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&["400", "404", "409", "412", "413", "422", "429", "507"])
    }
}

/// Why nothing is restored.
pub(super) struct RefusedRestore;

impl IntoResponses for RefusedRestore {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&["400", "404", "409", "412", "413", "429", "507"])
    }
}

/// Why a reload changes nothing.
pub(super) struct RefusedReload;

impl IntoResponses for RefusedReload {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals(&["400", "409", "412", "413", "422", "429", "507"])
    }
}

/// The name of a target group, in the path.
pub(super) struct GroupName;

impl IntoParams for GroupName {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "Name of the target group.";
        vec![parameter("group", ParameterIn::Path, about, schema::Name::schema())]
    }
}

/// The id of a record of the inventory, in the path.
pub(super) struct RecordName;

impl IntoParams for RecordName {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter("id", ParameterIn::Path, "Its id; of a scaling group its name.", schema::Name::schema())]
    }
}

/// Under which terms a request changes something: its headers.
pub(super) struct Terms;

impl IntoParams for Terms {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let if_match = "Make the change only if this revision is in effect; else 412.";
        let key = "A request that comes again with the same key is answered as the first time and changes nothing; another \
                   request with that key is refused. The last 1000 are kept.";
        vec![
            optional("If-Match", ParameterIn::Header, if_match, text("^([0-9]{1,19}|\"[0-9]{1,19}\")$")),
            optional("Idempotency-Key", ParameterIn::Header, key, text("^[!-~]{1,128}$")),
        ]
    }
}

/// What `GET /v1/explain` is asked.
pub(super) struct Question;

impl IntoParams for Question {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let is_in = || ParameterIn::Query;
        let line = || text(r"^[^\u0000\r\n]*$");
        let header = text(r"^(?![Hh][Oo][Ss][Tt]:)[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\u0000\r\n]*$");
        let headers = Schema::Array(ArrayBuilder::new().items(header).build()).into();
        vec![
            parameter("listener", is_in(), "Name of the listener.", schema::Name::schema()),
            parameter(
                "client",
                is_in(),
                "The address that connects, of the listener's family.",
                schema::Address::schema(),
            ),
            optional("method", is_in(), "GET where it is not given.", text("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")),
            optional("host", is_in(), "`host[:port]`; the listener's address where it is not given.", line()),
            optional("path", is_in(), "/ where it is not given.", text(r"^(/[^?\u0000\r\n]*|\*)$")),
            optional("query", is_in(), "Without its question mark.", line()),
            optional("header", is_in(), "`Name: value`, as often as needed.", headers),
        ]
    }
}

fn parameter(name: &str, is_in: ParameterIn, about: &str, schema: RefOr<Schema>) -> Parameter {
    let parameter = ParameterBuilder::new().name(name).parameter_in(is_in).description(Some(about));
    parameter.required(Required::True).schema(Some(schema)).build()
}

fn optional(name: &str, is_in: ParameterIn, about: &str, schema: RefOr<Schema>) -> Parameter {
    ParameterBuilder::from(parameter(name, is_in, about, schema)).required(Required::False).build()
}

fn text(pattern: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).into()
}
