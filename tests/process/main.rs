//! Whole-process tests: the binary under real signals, sockets and targets. A name begins with the requirement that the test
//! proves; docs/requirements.md has the table.
#![forbid(unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod access_log;
mod admin;
mod changes;
mod checks;
mod cli;
mod drain;
mod health;
mod limits;
mod listeners;
mod outages;
mod relay;
mod reload;
mod requirements;
mod weights;
