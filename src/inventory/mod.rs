//! Machines and their addresses: what a target's name stands for, and whether it may be bound.
//!
//!     [[instance]], [[eni]]  --put--> Inventory --+
//!     target as named: type, ids, address --------+--bind--> Bound: address, region, network, zone, instance
//!     Place: this balancer, and what it may reach +      `-> Refusal: what, why, how to mend it
//!
//!     target that is bound --fate--> what the inventory of now makes of it
//!
//! The file and the API fill one inventory, by the same types. Pure: time is an argument, nothing is read or written.
//! Always: an ENI is attached to an instance that the inventory has and that is not released, or to none; the members of a
//! scaling group are such instances; no two instances of one network have one address.
#![forbid(unsafe_code)]

mod bind;
mod changes;
mod given;
mod id;
mod listed;
mod place;
mod reach;
mod records;
mod refusal;
mod regions;
#[cfg(test)]
mod tests;
mod webhook;

pub use bind::{Bound, TargetName, bind, rebind};
pub use changes::{Fate, Held, Member, fate, outlives_release};
pub use given::{Record, RecordId, RecordKind, Records};
pub use id::Id;
pub use listed::{Inventory, Owner};
pub use place::{Addresses, CrossRegion, Place};
pub use records::{Association, Eni, HealthType, Instance, InstanceState, ScalingGroup};
pub use refusal::{Field, Refusal, Why};
pub use regions::{Door, pass};
pub use webhook::WebhookUrl;
