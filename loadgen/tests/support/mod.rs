//! What the process tests share: the binary as a server, as a load, and targets of a kind that it cannot be itself.
//!
//!     Server   weir-loadgen serve, on a free port; killed when dropped
//!     Loadgen  weir-loadgen at work: signalled, waited for --> Ran: code, output, files
//!     Peer     a target as a thread of the test: breaks the protocol, or remembers what it was sent
//!
//! Always: nothing outlives its test, and a process that does not end within `PATIENCE` fails it.
#![forbid(unsafe_code)]

pub mod loadgen;
pub mod peer;
pub mod server;

use std::time::Duration;

pub use loadgen::{Loadgen, load, run};
pub use peer::Peer;
pub use server::Server;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_weir-loadgen");
/// How long anything may take that should be over soon. Generous: the machine may be busy with something else.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at.
pub const PROBE_PAUSE: Duration = Duration::from_millis(10);
