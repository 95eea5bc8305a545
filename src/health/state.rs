//! The state machine of one target, as ELB names its states and reasons.

use super::Failure;
use serde::{Serialize, Serializer};
use std::time::{Duration, SystemTime};

/// Whether a target takes new connections, and why not.
///
/// ```text
///                  first success
///    Initial ------------------------> Healthy <-----------------.
///       |                                 |                      | `healthy` successes in a row
///       |   `unhealthy` failures in a row |                      |
///       `---------------------------------+----------------> Unhealthy
///
///    any of these   --checks switched off--> Healthy (Target.HealthCheckDisabled); switched on again it stays Healthy
///    any of these   --no listener names the group--> Unused --a listener does--> Initial, or Healthy with checks off
///    any but Draining --the target is unbound--> Draining, for good
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = HealthState)]
pub enum State {
    /// No check has succeeded yet; nothing new is sent.
    Initial,
    /// Takes new connections.
    Healthy,
    /// Too many checks failed in a row; nothing new is sent.
    Unhealthy,
    /// Unbound; what runs may end, nothing new is sent.
    Draining,
    /// In a group that no listener names, so it is not checked.
    Unused,
}

impl State {
    /// As the API and metrics write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Initial => "initial",
            State::Healthy => "healthy",
            State::Unhealthy => "unhealthy",
            State::Draining => "draining",
            State::Unused => "unused",
        }
    }
}

/// Why a target is in its state; ELB's reason codes. A healthy target that is checked has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// New: no check has ended yet.
    RegistrationInProgress,
    /// New: checks have ended, none with success.
    InitialHealthChecking,
    /// The latest check ran out of time.
    Timeout,
    /// The latest check was answered with a status that does not match.
    ResponseCodeMismatch,
    /// The latest check failed in another way.
    FailedHealthChecks,
    /// Checks are switched off.
    HealthCheckDisabled,
    /// The target is being unbound.
    DeregistrationInProgress,
    /// No listener names the target's group.
    NotInUse,
}

impl Reason {
    /// ELB's code.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::RegistrationInProgress => "Elb.RegistrationInProgress",
            Reason::InitialHealthChecking => "Elb.InitialHealthChecking",
            Reason::Timeout => "Target.Timeout",
            Reason::ResponseCodeMismatch => "Target.ResponseCodeMismatch",
            Reason::FailedHealthChecks => "Target.FailedHealthChecks",
            Reason::HealthCheckDisabled => "Target.HealthCheckDisabled",
            Reason::DeregistrationInProgress => "Target.DeregistrationInProgress",
            Reason::NotInUse => "Target.NotInUse",
        }
    }

    fn of(failure: Failure) -> Self {
        match failure {
            Failure::Timeout => Reason::Timeout,
            Failure::Status(_) => Reason::ResponseCodeMismatch,
            _ => Reason::FailedHealthChecks,
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Whether a target is checked at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checking {
    /// By its group's health check.
    On,
    /// `protocol = "none"`: it counts as healthy (requirement H2).
    Off,
    /// No listener names its group.
    NotInUse,
}

/// Checks in a row that change a state. They come with each observation, so a reload may change them at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Successes that turn an unhealthy target healthy.
    pub healthy: u8,
    /// Failures that turn a target unhealthy.
    pub unhealthy: u8,
}

/// A change of state, for the log, the counters and the balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// Before.
    pub from: State,
    /// After.
    pub to: State,
    /// Why, where the new state has a reason.
    pub reason: Option<Reason>,
}

/// How the last check ended (requirement H5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastCheck {
    /// When it ended.
    pub at: SystemTime,
    /// How long a success took.
    pub latency: Option<Duration>,
    /// Why it did not succeed.
    pub failure: Option<Failure>,
}

/// The health of one target as one shard sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetHealth {
    checking: Checking,
    state: State,
    reason: Option<Reason>,
    since: SystemTime,
    last_check: Option<LastCheck>,
    /// The checks that count, from the latest back to the last one that ended otherwise. Starts over with each new state.
    run: Run,
    host_failures: u64,
}

/// Equal outcomes in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Successes(u32),
    Failures(u32),
}

impl TargetHealth {
    /// A target that has just been bound.
    #[must_use]
    pub fn new(checking: Checking, now: SystemTime) -> Self {
        let (state, reason) = entry(checking);
        let run = Run::Successes(0);
        Self { checking, state, reason: Some(reason), since: now, last_check: None, run, host_failures: 0 }
    }

    /// Takes in the end of one check: its latency, or why it failed. A check that ends after checks were switched off is
    /// shown and changes nothing.
    pub fn observe(
        &mut self,
        outcome: Result<Duration, Failure>,
        thresholds: Thresholds,
        now: SystemTime,
    ) -> Option<Transition> {
        self.last_check = Some(LastCheck { at: now, latency: outcome.ok(), failure: outcome.err() });
        if let Err(failure) = outcome
            && failure.is_ours()
        {
            self.host_failures += 1;
            return None;
        }
        if self.checking != Checking::On {
            return None;
        }
        match outcome {
            Ok(_) => self.succeeded(thresholds, now),
            Err(failure) => self.failed(failure, thresholds, now),
        }
    }

    /// Takes over what a reload says about checks. Thresholds need no call: they come with each observation.
    pub fn reconfigure(&mut self, checking: Checking, now: SystemTime) -> Option<Transition> {
        let before = std::mem::replace(&mut self.checking, checking);
        if before == checking || self.state == State::Draining {
            return None;
        }
        // To start at Initial instead would take every target of a working group out until its first check.
        if (before, checking) == (Checking::Off, Checking::On) {
            self.run = Run::Successes(0);
            self.reason = None;
            return None;
        }
        let (state, reason) = entry(checking);
        self.enter(state, Some(reason), now)
    }

    /// The target is unbound: nothing new for it, whatever its checks say.
    pub fn drain(&mut self, now: SystemTime) -> Option<Transition> {
        self.checking = Checking::NotInUse;
        self.enter(State::Draining, Some(Reason::DeregistrationInProgress), now)
    }

    /// Whether the target takes new connections by its health (its weight may still say no).
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.state == State::Healthy
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it stands there.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// When the state last changed.
    #[must_use]
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// How the last check ended, also one that did not count.
    #[must_use]
    pub fn last_check(&self) -> Option<LastCheck> {
        self.last_check
    }

    /// Checks that this host could not make, since the target was bound.
    #[must_use]
    pub fn host_failures(&self) -> u64 {
        self.host_failures
    }

    fn succeeded(&mut self, thresholds: Thresholds, now: SystemTime) -> Option<Transition> {
        let in_a_row = match self.run {
            Run::Successes(before) => before.saturating_add(1),
            Run::Failures(_) => 1,
        };
        self.run = Run::Successes(in_a_row);
        match self.state {
            State::Initial => self.enter(State::Healthy, None, now),
            State::Unhealthy if in_a_row >= u32::from(thresholds.healthy) => self.enter(State::Healthy, None, now),
            State::Unhealthy | State::Healthy | State::Draining | State::Unused => None,
        }
    }

    fn failed(&mut self, failure: Failure, thresholds: Thresholds, now: SystemTime) -> Option<Transition> {
        let in_a_row = match self.run {
            Run::Failures(before) => before.saturating_add(1),
            Run::Successes(_) => 1,
        };
        self.run = Run::Failures(in_a_row);
        match self.state {
            State::Initial | State::Healthy if in_a_row >= u32::from(thresholds.unhealthy) => {
                self.enter(State::Unhealthy, Some(Reason::of(failure)), now)
            }
            State::Initial => {
                self.reason = Some(Reason::InitialHealthChecking);
                None
            }
            State::Unhealthy => {
                self.reason = Some(Reason::of(failure));
                None
            }
            State::Healthy | State::Draining | State::Unused => None,
        }
    }

    fn enter(&mut self, to: State, reason: Option<Reason>, now: SystemTime) -> Option<Transition> {
        let from = std::mem::replace(&mut self.state, to);
        self.reason = reason;
        self.run = Run::Successes(0);
        if from == to {
            return None;
        }
        self.since = now;
        Some(Transition { from, to, reason })
    }
}

/// Where a target begins.
fn entry(checking: Checking) -> (State, Reason) {
    match checking {
        Checking::On => (State::Initial, Reason::RegistrationInProgress),
        Checking::Off => (State::Healthy, Reason::HealthCheckDisabled),
        Checking::NotInUse => (State::Unused, Reason::NotInUse),
    }
}
