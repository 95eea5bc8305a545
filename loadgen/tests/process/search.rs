//! The highest rate that holds an objective, where it is known: connections over delay.

use crate::support::{Server, load};

/// 4 connections, 20 ms an answer: 200 a second.
const CAPACITY: f64 = 200.0;

#[test]
#[ignore = "long: ./x test runs it"]
fn an_objective_that_nothing_holds_is_said_so() {
    let server = Server::start("http --delay 20ms");
    let ran = load(&format!("http {} --find-max --slo p99<10ms --connections 4 --duration 200ms", server.url()));
    ran.complains(1, &["no rate holds p99<10ms"]);
}
