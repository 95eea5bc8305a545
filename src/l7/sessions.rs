//! A request's place in sessions: which group of its rule (requirement R3), which target of its group (S1, S2), and what the
//! response tells the client to send next time.
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::framing::{RequestHead, ResponseHead};
use super::router::Forward;
use super::stickiness::{self, Scope, Tag};
use super::world::Terms;
use crate::config::{HttpGroup, Stickiness, TargetGroup};

/// Of one request.
#[derive(Debug, Default)]
pub(super) struct Session {
    target: Option<Tag>,
    /// How the client is to stay with the group that was chosen.
    group: Option<Arc<Stickiness>>,
}

impl Session {
    pub(super) fn clear(&mut self) {
        self.target = None;
        self.group = None;
    }

    /// The target of the session that the request belongs to.
    pub(super) fn target(&self) -> Option<&Tag> {
        self.target.as_ref()
    }

    /// The response is to say which of the groups of `forward` was chosen, if they have sessions.
    pub(super) fn stays_with_group(&mut self, forward: &Forward) {
        self.group.clone_from(&forward.group_stickiness);
    }

    /// See `stays_with_group`.
    pub(super) fn group_stickiness(&self) -> Option<&Stickiness> {
        self.group.as_deref()
    }

    /// Looks for the request's session in `group`.
    pub(super) fn find_target(
        &mut self,
        request: &RequestHead,
        terms: &Terms,
        group: &TargetGroup,
        http: &HttpGroup,
        now: u64,
    ) {
        let stickiness = http.stickiness.as_ref();
        self.target = stickiness.and_then(|stickiness| target_of_session(request, terms, group, stickiness, now));
    }
}

/// The target of the request's session in `group`.
pub(super) fn target_of_session(
    request: &RequestHead,
    terms: &Terms,
    group: &TargetGroup,
    stickiness: &Stickiness,
    now: u64,
) -> Option<Tag> {
    let scope = Scope::Targets { group: &group.name };
    stickiness::session(&terms.snapshot.cookie_keys, scope, stickiness, request.values("cookie"), now)
}

/// Index of the group that a request goes to: that of its session in the rule, else by weight.
pub(super) fn choose_group(
    request: &RequestHead,
    terms: &Terms,
    rule: Option<u16>,
    forward: &Forward,
    now: u64,
    roll: u64,
) -> usize {
    group_of_session(request, terms, rule, forward, now).unwrap_or_else(|| forward.choose_group(roll))
}

/// Index of the group of the request's session in the rule.
pub(super) fn group_of_session(
    request: &RequestHead,
    terms: &Terms,
    rule: Option<u16>,
    forward: &Forward,
    now: u64,
) -> Option<usize> {
    let stickiness = forward.group_stickiness.as_deref()?;
    let keys = &terms.snapshot.cookie_keys;
    let scope = Scope::Groups { listener: &terms.listener.name, rule };
    let tag = stickiness::session(keys, scope, stickiness, request.values("cookie"), now)?;
    forward.groups.iter().map(|weighted| weighted.group).find(|&index| {
        let group = terms.snapshot.groups.get(index);
        group.is_some_and(|group| keys.group_tags(&terms.listener.name, rule, &group.name).any(|own| own == tag))
    })
}

/// Appends what tells the client its group of `rule`.
pub(super) fn write_group_cookie(
    terms: &Terms,
    rule: Option<u16>,
    stickiness: &Stickiness,
    group: &TargetGroup,
    now: u64,
    out: &mut Vec<u8>,
) {
    let keys = &terms.snapshot.cookie_keys;
    if let Some(tag) = keys.group_tags(&terms.listener.name, rule, &group.name).next() {
        let value = keys.seal(Scope::Groups { listener: &terms.listener.name, rule }, tag, now);
        stickiness::set_cookie_line(stickiness, &value, out);
    }
}

/// Appends what tells the client its target, where the response is to do that.
pub(super) fn write_target_cookie(
    (request, response): (&RequestHead, &ResponseHead),
    terms: &Terms,
    (group, stickiness): (&TargetGroup, &Stickiness),
    tag: Tag,
    now: u64,
    out: &mut Vec<u8>,
) {
    if stickiness::is_due(stickiness, request.values("cookie"), response.values("set-cookie")) {
        let value = terms.snapshot.cookie_keys.seal(Scope::Targets { group: &group.name }, tag, now);
        stickiness::set_cookie_line(stickiness, &value, out);
    }
}
