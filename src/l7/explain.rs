//! What would become of a request: its rule, the groups that it may go to, and the sessions that it brings.
//!
//!     head --admit--> rules, each condition --> forward: groups with their chances, sessions, rewrite
//!            `--refused: why               `--> redirect: to where; fixed response
//!
//! The steps of http1/exchange.rs in their order, by the same functions, without chance: where an exchange throws dice, this tells
//! the odds. Which target a group would give, only a shard knows.
//! Pure: the time is an argument.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use super::UrlScheme;
use super::admission;
use super::forwarded::{self, Client};
use super::framing::{Finding, RequestHead};
use super::router::{
    Decision, FixedResponse, Forward, Origin, Original, Redirect, Rewriter, Subject, Transform, Tried,
};
use super::sessions;
use super::stickiness::{self, Tag};
use super::why::Why;
use super::world::{Ends, Terms};
use crate::config::Stickiness;

/// What would become of a request.
#[derive(Debug)]
pub struct Explained<'t> {
    /// What hygiene says of it.
    pub finding: Finding,
    /// The rules that it was held against, the one that it falls under last. None where it was refused ahead of them.
    pub tried: Vec<Tried<'t>>,
    /// Priority of its rule; `None`: the default action, or no rule was asked.
    pub rule: Option<u16>,
    /// What is done with it.
    pub fate: Fate<'t>,
}

/// What is done with a request.
#[derive(Debug)]
pub enum Fate<'t> {
    /// It is answered with what is wrong with it, and no rule is asked.
    Refused(Why),
    /// It goes to a target.
    Forward(Forwarding<'t>),
    /// It is answered with another place.
    Redirect {
        /// 301, say.
        status: u16,
        /// The other place; or what it is answered with as there is none.
        location: Result<Vec<u8>, Why>,
    },
    /// It is answered.
    FixedResponse(&'t FixedResponse),
}

/// A request on its way to a target.
#[derive(Debug)]
pub struct Forwarding<'t> {
    /// The rule's groups, in its order.
    pub groups: Vec<Share<'t>>,
    /// Of the client in the rule (requirement R3); `None`: the rule keeps none.
    pub session: Option<Session<'t>>,
    /// Path and query as the target gets them; empty: as they came.
    pub path_and_query: Vec<u8>,
    /// `Host` as the target gets it; empty: as it came.
    pub host: Vec<u8>,
    /// It is answered with this after all, by each group that does not refuse it first.
    pub refused: Option<Why>,
}

/// A group that a request may go to.
#[derive(Debug)]
pub struct Share<'t> {
    /// Index into `Snapshot::groups`.
    pub group: usize,
    /// In the rule.
    pub weight: u16,
    /// From 0 to 1, for this request: a session leaves nothing to chance.
    pub chance: f64,
    /// Of the client in the group (requirements S1, S2); `None`: the group keeps none.
    pub session: Option<Session<'t>>,
    /// Its targets cannot be sent such a request.
    pub refused: Option<Why>,
}

/// What a request brings of a session.
#[derive(Debug)]
pub struct Session<'t> {
    /// By which cookie, and for how long.
    pub stickiness: &'t Stickiness,
    /// Whether it brings that cookie.
    pub cookie: Brought,
    /// Whom an accepted cookie names, in the words of the shards; of a rule's session `None`.
    pub target: Option<Tag>,
}

/// A session's cookie in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// It is not there.
    Nothing,
    /// It counts for nothing: forged, over, of another group or key, or without the cookie that it follows.
    NotAccepted,
    /// It names somebody.
    Accepted,
}

/// What would become of `request`, whose head is complete, at `now` in Unix seconds.
#[must_use]
pub fn explain<'t>(request: &RequestHead, terms: &'t Terms, ends: Ends, now: u64) -> Explained<'t> {
    let finding = request.finding();
    if let Err(why) = admission::admit(request, finding.verdict(terms.http.hygiene), &terms.http) {
        return Explained { finding, tried: Vec::new(), rule: None, fate: Fate::Refused(why) };
    }
    let subject = Subject::of(request, ends.client.ip());
    let found = terms.router.find(&subject);
    let fate = match found.decision {
        Decision::Forward(forward, rewriter) => {
            Fate::Forward(forwarding(request, terms, (found.priority, forward, rewriter), ends, now))
        }
        Decision::Redirect(redirect) => redirected(request, redirect, ends.local),
        Decision::FixedResponse(response) => Fate::FixedResponse(response),
    };
    Explained { finding, tried: terms.router.explain(&subject), rule: found.priority, fate }
}

fn redirected<'t>(request: &RequestHead, redirect: &Redirect, local: SocketAddr) -> Fate<'t> {
    let address = local.to_string();
    let authority = if request.authority().is_empty() { address.as_bytes() } else { request.authority() };
    let origin = Origin { scheme: UrlScheme::Http, authority, path: request.path(), query: request.query() };
    let mut location = Vec::new();
    let written = redirect.write_location(&origin, &mut location);
    Fate::Redirect { status: redirect.status, location: written.map(|()| location).map_err(|_| Why::UriTooLong) }
}

fn forwarding<'t>(
    request: &RequestHead,
    terms: &'t Terms,
    (rule, forward, rewriter): (Option<u16>, &'t Forward, Option<&Rewriter>),
    ends: Ends,
    now: u64,
) -> Forwarding<'t> {
    let of_session = sessions::group_of_session(request, terms, rule, forward, now);
    let weight_sum: u32 = forward.groups.iter().map(|weighted| u32::from(weighted.weight)).sum();
    let chance = |group: usize, weight: u16| match of_session {
        Some(chosen) => f64::from(u8::from(chosen == group)),
        // A router has no forward whose weights are all 0.
        None => f64::from(weight) / f64::from(weight_sum.max(1)),
    };
    let groups = forward.groups.iter().map(|weighted| Share {
        group: weighted.group,
        weight: weighted.weight,
        chance: chance(weighted.group, weighted.weight),
        session: target_session(request, terms, weighted.group, now),
        refused: terms.group(weighted.group).and_then(|(_, http)| admission::fits(request, http).err()),
    });
    let session = forward.group_stickiness.as_deref().map(|stickiness| Session {
        stickiness,
        cookie: brought(request, stickiness, of_session.is_some()),
        target: None,
    });
    let mut forwarding =
        Forwarding { groups: groups.collect(), session, path_and_query: Vec::new(), host: Vec::new(), refused: None };
    forwarding.refused = forwarding.write(request, terms, rewriter, ends).err();
    forwarding
}

impl Forwarding<'_> {
    /// What may go wrong with the head that a target gets.
    fn write(
        &mut self,
        request: &RequestHead,
        terms: &Terms,
        rewriter: Option<&Rewriter>,
        ends: Ends,
    ) -> Result<(), Why> {
        if let Some(rewriter) = rewriter {
            let original = Original::of(request);
            let transform = rewriter.rewrite(&original, &mut Vec::new(), &mut self.path_and_query, &mut self.host);
            if transform != Transform::Success {
                return Err(Why::RewriteFailed);
            }
        }
        let client = Client::new(ends.client.ip(), UrlScheme::Http, ends.local.port());
        forwarded::write(terms.http.forwarded, &client, request.values("x-forwarded-for"), &mut Vec::new())
            .map_err(|_| Why::ForwardedTooLong)
    }
}

fn target_session<'t>(request: &RequestHead, terms: &'t Terms, group: usize, now: u64) -> Option<Session<'t>> {
    let (group, http) = terms.group(group)?;
    let stickiness = http.stickiness.as_ref()?;
    let target = sessions::target_of_session(request, terms, group, stickiness, now);
    Some(Session { stickiness, cookie: brought(request, stickiness, target.is_some()), target })
}

fn brought(request: &RequestHead, stickiness: &Stickiness, is_accepted: bool) -> Brought {
    if is_accepted {
        return Brought::Accepted;
    }
    let is_there = stickiness::cookie(request.values("cookie"), &stickiness.cookie).next().is_some();
    if is_there { Brought::NotAccepted } else { Brought::Nothing }
}
