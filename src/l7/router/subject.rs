//! What a router is asked, and what it answers.
#![forbid(unsafe_code)]

use std::net::IpAddr;

use super::rewrite::Rewriter;
use super::rule::{FixedResponse, Forward, Redirect};
use crate::l7::framing::RequestHead;

/// A request, as far as rules look at it. Nothing is decoded: `/%61` is not `/a`, as in ALB.
#[derive(Debug)]
pub struct Subject<'a, F> {
    /// Without port; empty when the request names none.
    pub host: &'a [u8],
    /// Without query.
    pub path: &'a [u8],
    /// Without question mark.
    pub query: Option<&'a [u8]>,
    /// As the client wrote it.
    pub method: &'a [u8],
    /// Who connected.
    pub client: IpAddr,
    /// The header.
    pub fields: &'a F,
}

impl<'a> Subject<'a, RequestHead> {
    /// The request of `client`, whose head is complete.
    #[must_use]
    pub fn of(request: &'a RequestHead, client: IpAddr) -> Self {
        Subject {
            host: request.host(),
            path: request.path(),
            query: request.query(),
            method: request.method(),
            client,
            fields: request,
        }
    }
}

/// A header that can be asked for fields.
pub trait Fields {
    /// The values of the fields of this name, in either case.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;
}

impl Fields for RequestHead {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        RequestHead::values(self, name)
    }
}

/// The rule that a request falls under.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// Its priority; `None`: the default action.
    pub priority: Option<u16>,
    /// What to do.
    pub decision: Decision<'a>,
}

/// What to do with a request.
#[derive(Debug, Clone, Copy)]
pub enum Decision<'a> {
    /// Send it to a target, rewritten where the rule says so.
    Forward(&'a Forward, Option<&'a Rewriter>),
    /// Answer with another place.
    Redirect(&'a Redirect),
    /// Answer.
    FixedResponse(&'a FixedResponse),
}
