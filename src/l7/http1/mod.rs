//! HTTP/1.0 and HTTP/1.1 with clients.

mod connection;
mod exchange;
mod heads;
mod relay;

pub use connection::{Closed, serve};
pub use exchange::Exchange;
