//! The config: the TOML as typed becomes the snapshot that shards run on.
#![forbid(unsafe_code)]

mod snapshot;

pub use snapshot::{
    Admin, AdminAddress, Algorithm, Balancer, CheckProtocol, Cores, HealthCheck, Listener, Protocol, Scheme, Snapshot,
    Target, TargetGroup, TargetKind,
};
