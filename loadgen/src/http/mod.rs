//! HTTP/1.1 as far as a load generator and its server need it: messages made once, and read as far as finding their end takes.

mod message;
mod request;
mod response;

pub(crate) use message::escaped;
pub use message::{BadMessage, MessageReader};
pub use request::{Asked, Request, Requests, Template};
pub use response::Answered;
