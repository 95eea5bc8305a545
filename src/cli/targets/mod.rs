//! `weir targets`: lists them with their health, binds and unbinds them, changes weights and ports.

mod change;
mod list;
mod named;

use clap::{Args, Subcommand};

use super::api::Endpoint;
use super::trouble::Trouble;

#[derive(Debug, Args)]
pub(super) struct Targets {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    endpoint: Endpoint,
}

/// Each takes many targets: all of them are changed, in one revision, or none.
#[derive(Debug, Subcommand)]
enum Verb {
    /// List targets: weight, health, why not healthy, what goes on.
    List {
        /// Names of target groups; all of them if none is given.
        #[arg(value_name = "GROUP")]
        groups: Vec<String>,
    },
    /// Bind targets to a target group.
    Register(change::Register),
    /// Unbind targets from a target group.
    Deregister(change::Deregister),
    /// Change weights. Weight 0 drains: what runs goes on, nothing new comes.
    Weight(change::Weight),
    /// Change ports.
    Port(change::Port),
}

pub(super) fn targets(targets: &Targets) -> Result<(), Trouble> {
    let endpoint = &targets.endpoint;
    match &targets.verb {
        Verb::List { groups } => list::list(endpoint, groups),
        Verb::Register(register) => change::make(endpoint, &register.to_change()?),
        Verb::Deregister(deregister) => change::make(endpoint, &deregister.to_change()?),
        Verb::Weight(weight) => change::make(endpoint, &weight.to_change()?),
        Verb::Port(port) => change::make(endpoint, &port.to_change()?),
    }
}
