//! The inventory by the API: what is known of machines, and what becomes known (requirements G3, G7 to G9).
//!
//! ```text
//!     GET    /v1/inventory                    all of it, and whose each record is
//!     PATCH  /v1/inventory                    {"instances":[..],"enis":[..],"scaling_groups":[..]}: all of them, or nothing
//!     PUT    /v1/inventory/instances/{id}     {"address":"10.0.0.5","zone":"z-1"}
//!     DELETE /v1/inventory/instances/{id}     it was given back: its targets go, as at its release
//!     PUT, DELETE /v1/inventory/enis/{id}, /v1/scaling-groups/{name}
//! ```
//!
//! Terms and answers are those of mutations.rs. A record of the config file is the file's.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::Request;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::schema::{Object, Schema};
use utoipa::openapi::{ObjectBuilder, RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

use super::error::{self, ApiError};
use super::mutations::{self, Answer, Applied, Place, Shared, Terms};
use super::named::Named;
use super::openapi::{self, RecordName, RefusedChange};
use super::server::Client;
use crate::config::{Change, Managed, limits};
use crate::control::change::Wanted;
use crate::inventory::{Eni, Id, Instance, Record, RecordId, RecordKind, ScalingGroup, WebhookUrl};
use crate::schema;

/// What is known of machines: the file's records, and the API's that fit them.
#[derive(Serialize, ToSchema)]
pub(super) struct InventoryView {
    instances: Vec<ListedInstance>,
    enis: Vec<ListedEni>,
    scaling_groups: Vec<ListedScalingGroup>,
}

/// A record, and whose it is: in the words of a target group's `managed`.
#[derive(Serialize)]
struct Listed<T> {
    #[serde(flatten)]
    record: T,
    managed: Managed,
}

type ListedInstance = Listed<Instance>;
type ListedEni = Listed<Eni>;
type ListedScalingGroup = Listed<ScalingGroup>;

/// A record as a PUT brings it: the path names it.
struct Unnamed<T>(PhantomData<T>);

type UnnamedInstance = Unnamed<Instance>;
type UnnamedEni = Unnamed<Eni>;
type UnnamedScalingGroup = Unnamed<ScalingGroup>;

/// Records of machines: all of them are put, in this order, or none.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(super) struct Machines {
    #[serde(deserialize_with = "schema::objects")]
    instances: Vec<Instance>,
    #[serde(deserialize_with = "schema::objects")]
    enis: Vec<Eni>,
    #[serde(deserialize_with = "schema::objects")]
    scaling_groups: Vec<ScalingGroup>,
}

/// Lists the inventory.
#[utoipa::path(
    get,
    path = "/v1/inventory",
    responses((status = 200, description = "All of it, each list by id.", body = InventoryView)),
)]
pub(super) async fn list(State(control): Shared) -> Json<InventoryView> {
    let snapshot = Arc::clone(&control.state().snapshot);
    let of_file = &snapshot.inventory_of_file;
    let managed = |which: &RecordId| if of_file.get(which).is_some() { Managed::File } else { Managed::Api };
    let mut view = InventoryView { instances: Vec::new(), enis: Vec::new(), scaling_groups: Vec::new() };
    for record in snapshot.inventory.iter() {
        let managed = managed(&record.which());
        match record {
            Record::Instance(record) => view.instances.push(Listed { record, managed }),
            Record::Eni(record) => view.enis.push(Listed { record, managed }),
            Record::ScalingGroup(record) => view.scaling_groups.push(Listed { record: without_path(record), managed }),
        }
    }
    Json(view)
}

/// A webhook's path or query may be all that keeps others from posting there: who looks sees where it leads, as in the log.
fn without_path(group: ScalingGroup) -> ScalingGroup {
    let webhook = group.webhook.and_then(|url| WebhookUrl::new(&url.to_string()).ok());
    ScalingGroup { webhook, ..group }
}

/// Puts many records, all of them or none.
#[utoipa::path(
    patch,
    path = "/v1/inventory",
    params(openapi::Terms),
    request_body(
        content = Machines,
        example = json!({
            "instances": [{ "id": "ins-1", "address": "10.0.0.5", "zone": "z-1" }],
            "scaling_groups": [{ "name": "asg-1", "instances": ["ins-1"] }],
        }),
    ),
    responses((status = 200, description = "It is in effect.", body = Applied), RefusedChange),
)]
pub(super) async fn patch(
    State(control): Shared,
    Extension(client): Extension<Client>,
    request: Request<Body>,
) -> Answer {
    let example = r#"{"instances":[{"id":"ins-1","address":"10.0.0.5"}]}"#;
    let (terms, machines) = mutations::read::<Machines>(request, example).await?;
    let instances = machines.instances.into_iter().map(Record::Instance);
    let enis = machines.enis.into_iter().map(Record::Eni);
    let groups = machines.scaling_groups.into_iter().map(Record::ScalingGroup);
    let records = instances.chain(enis).chain(groups).collect();
    mutations::make(&control, client, terms, Wanted::Change(Change::Put(records))).await
}

/// Puts an instance: it becomes known, or known otherwise.
///
/// With `"state": "released"` its targets are unbound.
#[utoipa::path(
    put,
    path = "/v1/inventory/instances/{id}",
    params(RecordName, openapi::Terms),
    request_body(content = UnnamedInstance, example = json!({ "address": "10.0.0.5", "zone": "z-1" })),
    responses((status = 200, description = "It is in effect.", body = Applied), RefusedChange),
)]
pub(super) async fn put_instance(place: Place, request: Request<Body>) -> Answer {
    let example = r#"{"address":"10.0.0.5","zone":"z-1"}"#;
    put::<Instance>(place, request, (RecordKind::Instance, "id", example), Record::Instance).await
}

/// Puts a network interface; one that is known at another instance moves to this one.
#[utoipa::path(
    put,
    path = "/v1/inventory/enis/{id}",
    params(RecordName, openapi::Terms),
    request_body(content = UnnamedEni, example = json!({ "instance_id": "ins-1", "addresses": ["10.0.0.6"] })),
    responses((status = 200, description = "It is in effect.", body = Applied), RefusedChange),
)]
pub(super) async fn put_eni(place: Place, request: Request<Body>) -> Answer {
    let example = r#"{"instance_id":"ins-1","addresses":["10.0.0.6"]}"#;
    put::<Eni>(place, request, (RecordKind::Eni, "id", example), Record::Eni).await
}

/// Puts a scaling group: instances that join or leave it are bound or unbound.
#[utoipa::path(
    put,
    path = "/v1/scaling-groups/{id}",
    params(RecordName, openapi::Terms),
    request_body(
        content = UnnamedScalingGroup,
        example = json!({ "instances": ["ins-1"], "target_groups": [{ "group": "app", "port": 8080, "weight": 20 }] }),
    ),
    responses((status = 200, description = "It is in effect.", body = Applied), RefusedChange),
)]
pub(super) async fn put_scaling_group(place: Place, request: Request<Body>) -> Answer {
    let example = r#"{"instances":["ins-1"],"target_groups":[{"group":"app","port":8080}]}"#;
    put::<ScalingGroup>(place, request, (RecordKind::ScalingGroup, "name", example), Record::ScalingGroup).await
}

/// Forgets an instance, which was given back: its targets are unbound, as at its release.
#[utoipa::path(
    delete,
    path = "/v1/inventory/instances/{id}",
    params(RecordName, openapi::Terms),
    responses((status = 200, description = "It is in effect.", body = Applied), RefusedChange),
)]
pub(super) async fn delete_instance(place: Place, request: Request<Body>) -> Answer {
    delete(place, request, RecordKind::Instance).await
}

/// Forgets a network interface. Its targets stay as they are.
#[utoipa::path(
    delete,
    path = "/v1/inventory/enis/{id}",
    params(RecordName, openapi::Terms),
    responses((status = 200, description = "It is in effect.", body = Applied), RefusedChange),
)]
pub(super) async fn delete_eni(place: Place, request: Request<Body>) -> Answer {
    delete(place, request, RecordKind::Eni).await
}

/// Forgets a scaling group: its instances are unbound from its target groups.
#[utoipa::path(
    delete,
    path = "/v1/scaling-groups/{id}",
    params(RecordName, openapi::Terms),
    responses((status = 200, description = "It is in effect.", body = Applied), RefusedChange),
)]
pub(super) async fn delete_scaling_group(place: Place, request: Request<Body>) -> Answer {
    delete(place, request, RecordKind::ScalingGroup).await
}

/// The path says which record it is; a body that says it too must agree.
async fn put<T: DeserializeOwned>(
    (State(control), Extension(client), Named(id)): Place,
    request: Request<Body>,
    (kind, key, example): (RecordKind, &str, &str),
    of: fn(T) -> Record,
) -> Answer {
    let which = which(kind, id)?;
    let (terms, mut typed) = mutations::read::<Map<String, Value>>(request, example).await?;
    if let Some(other) = typed.get(key).filter(|typed| typed.as_str() != Some(&*which.id)) {
        let other = error::cut(&other.to_string(), limits::NAME_BYTES_MAX);
        let message = format!("the path is of {which}, and the body has {key} {other}");
        return Err(ApiError::bad_request(message, format!("leave {key} out of the body")));
    }
    typed.insert(key.to_owned(), which.id.to_string().into());
    let record = T::deserialize(Value::Object(typed))
        .map_err(|error| ApiError::bad_body(&which.to_string(), &error, example))?;
    mutations::make(&control, client, terms, Wanted::Change(Change::Put(vec![of(record)]))).await
}

async fn delete(
    (State(control), Extension(client), Named(id)): Place,
    request: Request<Body>,
    kind: RecordKind,
) -> Answer {
    let which = which(kind, id)?;
    let (parts, body) = request.into_parts();
    let terms = Terms::of(&parts.method, parts.uri.path(), &parts.headers, &mutations::bounded(body).await?)?;
    mutations::make(&control, client, terms, Wanted::Change(Change::Forget(which))).await
}

fn which(kind: RecordKind, id: String) -> Result<RecordId, ApiError> {
    match Id::new(id) {
        Ok(id) => Ok(RecordId { kind, id }),
        Err(refusal) => Err(ApiError::bad_request(refusal.what, refusal.mend)),
    }
}

/// See `without_path`.
fn shown_webhook() -> RefOr<Schema> {
    let about =
        "Where its webhook leads: scheme, host and port. The path and the query may be a secret, and are not shown.";
    ObjectBuilder::new().schema_type(Type::String).pattern(Some("^https?://[^/]+$")).description(Some(about)).into()
}

fn object_of<T: ToSchema>() -> Object {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => object,
        _ => ObjectBuilder::new().build(),
    }
}

impl<T: ToSchema> ToSchema for Unnamed<T> {
    fn name() -> Cow<'static, str> {
        format!("Unnamed{}", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
    }
}

impl<T: ToSchema> PartialSchema for Unnamed<T> {
    fn schema() -> RefOr<Schema> {
        let mut object = object_of::<T>();
        object.required.retain(|key| key != "id" && key != "name");
        for key in ["id", "name"] {
            object.properties.remove(key);
        }
        object.into()
    }
}

impl<T: ToSchema> ToSchema for Listed<T> {
    fn name() -> Cow<'static, str> {
        format!("Listed{}", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
        schemas.push((Managed::name().into(), Managed::schema()));
    }
}

impl<T: ToSchema> PartialSchema for Listed<T> {
    fn schema() -> RefOr<Schema> {
        let mut object = object_of::<T>();
        object.properties.insert("managed".to_owned(), Managed::schema());
        if object.properties.contains_key("webhook") {
            object.properties.insert("webhook".to_owned(), shown_webhook());
        }
        object.required.push("managed".to_owned());
        object.into()
    }
}
