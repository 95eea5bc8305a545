//! `[[instance]]`, `[[eni]]` and `[[scaling_group]]` as typed.

use super::table::Table;
use crate::config::{keys, limits, values};
use crate::inventory::{Association, Eni, Instance, ScalingGroup};

/// What the file says about machines.
pub(in crate::config) struct RawInventory {
    pub instances: Vec<RawRecord<Instance>>,
    pub enis: Vec<RawRecord<Eni>>,
    pub scaling_groups: Vec<RawRecord<ScalingGroup>>,
}

/// One record that is whole, and where it stands.
pub(in crate::config) struct RawRecord<T> {
    /// What errors call it.
    pub place: String,
    pub line: usize,
    pub record: T,
}

pub(super) fn inventory(file: &Table<'_>) -> RawInventory {
    RawInventory {
        instances: records(&file.list("instance", "instance", &keys::INSTANCE), instance),
        enis: records(&file.list("eni", "ENI", &keys::ENI), eni),
        scaling_groups: records(&file.list("scaling_group", "scaling group", &keys::SCALING_GROUP), scaling_group),
    }
}

fn records<T>(tables: &[Table<'_>], read: impl Fn(&Table<'_>) -> Option<T>) -> Vec<RawRecord<T>> {
    let record = |table: &Table<'_>| Some(RawRecord { place: table.thing(), line: table.line, record: read(table)? });
    tables.iter().filter_map(record).collect()
}

fn instance(table: &Table<'_>) -> Option<Instance> {
    let id = table.require("id", values::id, "add id = \"ins-1\"");
    let address = table.require("address", values::unicast, "add address = \"10.0.0.5\"");
    let [region, network, zone] =
        ["region", "network", "zone"].map(|key| table.read(key, values::id).map(|id| id.value));
    let state = table.read("state", values::instance_state);
    let expires = table.read("expires", values::time);
    let bandwidth = table.read("bandwidth", values::number(&limits::BANDWIDTH));
    Some(Instance {
        id: id?.value,
        region,
        network,
        zone,
        address: address?.value,
        state: state.map(|state| state.value).unwrap_or_default(),
        expires: expires.map(|expires| expires.value),
        bandwidth: bandwidth.map(|bandwidth| bandwidth.value),
    })
}

fn eni(table: &Table<'_>) -> Option<Eni> {
    let id = table.require("id", values::id, "add id = \"eni-1\"");
    let instance_id = table.read("instance_id", values::id).map(|id| id.value);
    if table.given(&["addresses"]).is_empty() {
        table.missing("addresses", "add addresses = [\"10.0.0.6\"]");
    }
    let addresses = table.read_items("addresses", values::unicast)?;
    Some(Eni { id: id?.value, instance_id, addresses: addresses.into_iter().collect() })
}

fn scaling_group(table: &Table<'_>) -> Option<ScalingGroup> {
    let name = table.require("name", values::id, "add name = \"web-servers\"");
    // A group may be empty, and grow.
    let is_empty = table.is_empty_list("instances");
    let instances = if is_empty { Vec::new() } else { table.read_items("instances", values::id).unwrap_or_default() };
    let groups = table.list("target_groups", "target group", &keys::ASSOCIATION);
    let target_groups = groups.iter().filter_map(association).collect();
    let health_type = table.read("health_type", values::health_type).map(|health_type| health_type.value);
    let webhook = table.read("webhook", values::webhook).map(|webhook| webhook.value);
    // One of them that is wrong must not be said to be missing besides.
    let good = usize::from(health_type.is_some()) + usize::from(webhook.is_some());
    if good < table.given(&["health_type", "webhook"]).len() {
        return None;
    }
    Some(ScalingGroup {
        name: name?.value,
        instances: instances.into_iter().collect(),
        target_groups,
        health_type: health_type.unwrap_or_default(),
        webhook,
    })
}

fn association(table: &Table<'_>) -> Option<Association> {
    let group = table.require("group", values::id, "add group = \"name of a target group\"");
    let port = table.require("port", values::number(&limits::PORT), "add port = 8080");
    let weight = table.read("weight", values::number(&limits::WEIGHT));
    Some(Association {
        group: group?.value,
        port: port?.value,
        weight: weight.map_or(limits::WEIGHT_DEFAULT, |weight| weight.value),
    })
}
