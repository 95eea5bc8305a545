//! Load for TCP, UDP and HTTP services: what `weir-loadgen` is made of.
//!
//!     cli --> plan --> engine (an executor a core: connections, arrivals, recorder) --> results --> output
//!                        ^                                                                |
//!                        `----------------- search: the next rate <-----------------------'
//!
//! Open loop first: with a rate, a request is due at a time of the schedule and its latency counts from then, whenever it could
//! be sent. `README.md` says how to use it; `engine/mod.rs` is where to begin reading.
#![forbid(unsafe_code)]

pub mod cli;
pub mod delay;
pub mod engine;
pub mod http;
pub mod output;
pub mod plan;
pub mod record;
pub mod results;
pub mod schedule;
pub mod search;
pub mod serve;
pub mod workload;
