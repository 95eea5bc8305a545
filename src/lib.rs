//! Weir: a load balancer for bare metal. One glommio executor a core, each with its own listeners, connection table and
//! health checkers; sockets go through our own `io_uring` layer. `docs/ARCHITECTURE.md` is the map.

pub mod access_log;
pub mod acl;
pub mod balance;
pub mod cli;
pub mod config;
pub mod control;
pub mod health;
pub mod inventory;
pub mod l4;
pub mod l7;
pub mod metrics;
pub mod ring;
mod schema;
pub mod shard;
pub mod tls;
