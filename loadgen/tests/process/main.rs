//! Whole-process tests: the binary as an operator uses it, over loopback. None asserts how fast this machine is.
#![forbid(unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod arguments;
mod http;
mod latency;
mod messages;
mod outages;
mod outputs;
mod pacing;
mod search;
mod tcp;
