//! Security groups: who may connect (requirements A1, A2, A3). Pure: an address in, a verdict out.
//!
//!     rules as written --Compiler, one port at a time--> Compiled: intervals of addresses, each with its first rule
//!                                                            |  the balancer's and the listener's, one after the other
//!                                                            v
//!     client --> Gate: verdict, and which rule it was      Program: the same verdict as a socket filter
//!
//! A listener has one transport and one port, so all that a rule says of those is decided when it is compiled. What is
//! left is which rule comes first for an address, and that is one search in a sorted list, however many rules there
//! are.
//!
//! Always: the first rule that is about a connection decides. A group with rules drops what none is about; a group
//! without accepts all. Groups are about new connections only: answers, and what runs already, need no rule.
#![forbid(unsafe_code)]

mod counts;
mod filter;
mod gate;
mod group;
mod intervals;
mod rule;
#[cfg(test)]
mod tests;

pub use counts::{RULES_COUNTED_MAX, RuleCounts};
pub use filter::{INSTRUCTIONS_MAX, Instruction, Program};
pub use gate::{Gate, SocketFilter};
pub use group::{Compiled, Compiler, SecurityGroup, Verdict};
pub use rule::{ALL_PORTS, Action, Rule, Transport};
