//! How a client stays with its target, and with its group (requirements S1, S2, S4, R3): by a cookie, with no state of ours.
//!
//!     request  --cookies--> session --open--> tag of a target, which the shard looks up; none: balance picks
//!     response --is_due?--> seal(tag, now) --> set_cookie_line
//!
//! A value says which target (by a tag, not an address) and when it was issued, under a keyed MAC that is bound to the group.
//! So every shard, and every node with the same `secret_file`, understands it; nobody else can make one, and one of another
//! group is none. The time of issue is inside: a session is over to the second, whatever the client does with `Max-Age`.
//!
//! Under S2 the client stays with its target while it sends the target's own cookie as well: whoever drops that one (a logout)
//! is free, although the companion may still arrive.
//!
//! Pure: time is an argument, and nothing is allocated for a request. `benches/micro/sticky.rs` times it.
#![forbid(unsafe_code)]

mod cookies;
mod keys;
#[cfg(test)]
mod tests;
mod value;

pub use cookies::{cookie, is_due, of_rule, session, set_cookie_line};
pub use keys::{Keys, KeysError};
pub use value::{Scope, Tag, VALUE_BYTES};
