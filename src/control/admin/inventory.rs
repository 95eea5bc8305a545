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

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::Request;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::mutations::{self, Answer, Place, Shared, Terms};
use super::server::Client;
use crate::config::{Change, Managed};
use crate::control::change::Wanted;
use crate::inventory::{Eni, Id, Instance, Record, RecordId, RecordKind, Records, ScalingGroup};

/// A record, and whose it is: in the words of a target group's `managed`.
#[derive(Serialize)]
struct Listed<'r, T> {
    #[serde(flatten)]
    record: &'r T,
    managed: Managed,
}

pub(super) async fn list(State(control): Shared) -> Json<Value> {
    let snapshot = Arc::clone(&control.state().snapshot);
    let (all, of_file) = (&snapshot.inventory, &snapshot.inventory_of_file);
    let managed = |is_of_file| if is_of_file { Managed::File } else { Managed::Api };
    let instances = all.instances().map(|record| {
        let managed = managed(of_file.instance(&record.id).is_some());
        Listed { record, managed }
    });
    let enis = all.enis().map(|record| {
        let managed = managed(of_file.eni(&record.id).is_some());
        Listed { record, managed }
    });
    let scaling_groups = all.scaling_groups().map(|record| {
        let managed = managed(of_file.scaling_group(&record.name).is_some());
        Listed { record, managed }
    });
    Json(json!({
        "instances": instances.collect::<Vec<_>>(),
        "enis": enis.collect::<Vec<_>>(),
        "scaling_groups": scaling_groups.collect::<Vec<_>>(),
    }))
}

pub(super) async fn patch(
    State(control): Shared,
    Extension(client): Extension<Client>,
    request: Request<Body>,
) -> Answer {
    let example = r#"{"instances":[{"id":"ins-1","address":"10.0.0.5"}]}"#;
    let (terms, records) = mutations::read::<Records>(request, example).await?;
    mutations::make(&control, client, terms, Wanted::Change(Change::Put(records.iter().collect()))).await
}

pub(super) async fn put_instance(place: Place, request: Request<Body>) -> Answer {
    let example = r#"{"address":"10.0.0.5","zone":"z-1"}"#;
    put::<Instance>(place, request, (RecordKind::Instance, "id", example), Record::Instance).await
}

pub(super) async fn put_eni(place: Place, request: Request<Body>) -> Answer {
    let example = r#"{"instance_id":"ins-1","addresses":["10.0.0.6"]}"#;
    put::<Eni>(place, request, (RecordKind::Eni, "id", example), Record::Eni).await
}

pub(super) async fn put_scaling_group(place: Place, request: Request<Body>) -> Answer {
    let example = r#"{"instances":["ins-1"],"target_groups":[{"group":"app","port":8080}]}"#;
    put::<ScalingGroup>(place, request, (RecordKind::ScalingGroup, "name", example), Record::ScalingGroup).await
}

pub(super) async fn delete_instance(place: Place, request: Request<Body>) -> Answer {
    delete(place, request, RecordKind::Instance).await
}

pub(super) async fn delete_eni(place: Place, request: Request<Body>) -> Answer {
    delete(place, request, RecordKind::Eni).await
}

pub(super) async fn delete_scaling_group(place: Place, request: Request<Body>) -> Answer {
    delete(place, request, RecordKind::ScalingGroup).await
}

/// The path says which record it is; a body that says it too must agree.
async fn put<T: DeserializeOwned>(
    (State(control), Extension(client), Path(id)): Place,
    request: Request<Body>,
    (kind, key, example): (RecordKind, &str, &str),
    of: fn(T) -> Record,
) -> Answer {
    let which = which(kind, id)?;
    let (terms, mut typed) = mutations::read::<Map<String, Value>>(request, example).await?;
    if let Some(other) = typed.get(key).filter(|typed| typed.as_str() != Some(&*which.id)) {
        let message = format!("the path is of {which}, and the body has {key} {other}");
        return Err(ApiError::bad_request(message, format!("leave {key} out of the body")));
    }
    typed.insert(key.to_owned(), which.id.to_string().into());
    let record = T::deserialize(Value::Object(typed))
        .map_err(|error| ApiError::bad_request(format!("{which}: {error}"), format!("send JSON such as {example}")))?;
    mutations::make(&control, client, terms, Wanted::Change(Change::Put(vec![of(record)]))).await
}

async fn delete(
    (State(control), Extension(client), Path(id)): Place,
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
