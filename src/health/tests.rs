//! The state machine against a model that rereads its whole history, and what each requirement says of it.

use super::*;
use proptest::prelude::*;
use std::io;
use std::time::{Duration, SystemTime};

const THREE: Thresholds = Thresholds { healthy: 3, unhealthy: 3 };
const SUCCESS: Result<Duration, Failure> = Ok(Duration::from_micros(250));
const REFUSED: Result<Duration, Failure> = Err(Failure::Refused);
const NO_DESCRIPTOR: Result<Duration, Failure> = Err(Failure::NoDescriptor);

const ALL_FAILURES: [Failure; 9] = [
    Failure::Refused,
    Failure::Timeout,
    Failure::Reset,
    Failure::Unreachable,
    Failure::Denied,
    Failure::NoDescriptor,
    Failure::NoSourcePort,
    Failure::Host(libc::ENOMEM),
    Failure::Other(libc::EPROTO),
];

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn checked() -> TargetHealth {
    TargetHealth::new(Checking::On, at(0))
}

/// Observes one check a second from second 1 on; the last transition.
fn observe(health: &mut TargetHealth, outcomes: &[Result<Duration, Failure>]) -> Option<Transition> {
    let mut last = None;
    for (outcome, second) in outcomes.iter().zip(1..) {
        last = health.observe(*outcome, THREE, at(second));
    }
    last
}

fn healthy() -> TargetHealth {
    let mut health = checked();
    observe(&mut health, &[SUCCESS]);
    health
}

fn unhealthy() -> TargetHealth {
    let mut health = healthy();
    observe(&mut health, &[REFUSED; 3]);
    health
}

#[test]
fn r_h3_a_target_starts_as_initial_and_takes_nothing_until_its_first_success() {
    let mut health = checked();
    assert_eq!((health.state(), health.reason()), (State::Initial, Some(Reason::RegistrationInProgress)));
    assert!(!health.is_healthy());

    assert_eq!(observe(&mut health, &[REFUSED]), None);
    assert_eq!((health.state(), health.reason()), (State::Initial, Some(Reason::InitialHealthChecking)));

    let transition = observe(&mut health, &[SUCCESS]);
    assert_eq!(transition, Some(Transition { from: State::Initial, to: State::Healthy, reason: None }));
    assert!(health.is_healthy());
}

#[test]
fn r_h3_a_target_that_never_answers_goes_from_initial_to_unhealthy() {
    let timeout = Err(Failure::Timeout);
    let transition = observe(&mut checked(), &[timeout; 3]);
    let reason = Some(Reason::Timeout);
    assert_eq!(transition, Some(Transition { from: State::Initial, to: State::Unhealthy, reason }));
}

#[test]
fn r_h3_three_failures_in_a_row_make_it_unhealthy_and_a_success_between_starts_over() {
    let mut health = healthy();
    assert_eq!(observe(&mut health, &[REFUSED, REFUSED, SUCCESS, REFUSED, REFUSED]), None);
    assert!(health.is_healthy());
    let transition = health.observe(REFUSED, THREE, at(9));
    let reason = Some(Reason::FailedHealthChecks);
    assert_eq!(transition, Some(Transition { from: State::Healthy, to: State::Unhealthy, reason }));
    assert_eq!((health.is_healthy(), health.since()), (false, at(9)));
}

#[test]
fn r_h3_a_recovered_target_comes_back_by_itself_after_three_successes_in_a_row() {
    let mut health = unhealthy();
    assert_eq!(observe(&mut health, &[SUCCESS, SUCCESS, REFUSED, SUCCESS, SUCCESS]), None);
    let transition = health.observe(SUCCESS, THREE, at(30));
    assert_eq!(transition, Some(Transition { from: State::Unhealthy, to: State::Healthy, reason: None }));
    assert_eq!((health.reason(), health.since()), (None, at(30)));
}

#[test]
fn r_h3_the_reason_of_an_unhealthy_target_follows_its_latest_check() {
    let mut health = unhealthy();
    assert_eq!(health.observe(Err(Failure::Timeout), THREE, at(9)), None);
    assert_eq!(health.reason(), Some(Reason::Timeout));
    assert_eq!(health.since(), at(3), "the state itself did not change");
}

#[test]
fn r_h2_with_checks_off_a_target_counts_as_healthy_and_says_so() {
    let health = TargetHealth::new(Checking::Off, at(0));
    assert!(health.is_healthy());
    assert_eq!(health.reason().map(Reason::as_str), Some("Target.HealthCheckDisabled"));
}

#[test]
fn r_h2_switching_checks_off_brings_an_unhealthy_target_back() {
    let mut health = unhealthy();
    let transition = health.reconfigure(Checking::Off, at(9));
    let reason = Some(Reason::HealthCheckDisabled);
    assert_eq!(transition, Some(Transition { from: State::Unhealthy, to: State::Healthy, reason }));
    assert_eq!(observe(&mut health, &[REFUSED; 9]), None, "a check that was under way changes nothing");
    assert!(health.is_healthy());
}

#[test]
fn r_h2_switching_checks_on_leaves_a_working_target_in_until_they_fail() {
    let mut health = TargetHealth::new(Checking::Off, at(0));
    assert_eq!(health.reconfigure(Checking::On, at(1)), None);
    assert_eq!((health.state(), health.reason()), (State::Healthy, None));
    let transition = observe(&mut health, &[REFUSED; 3]);
    assert_eq!(transition.map(|transition| transition.to), Some(State::Unhealthy));
}

#[test]
fn r_h2_a_reload_that_changes_nothing_keeps_the_run_of_failures() {
    let mut health = healthy();
    observe(&mut health, &[REFUSED; 2]);
    assert_eq!(health.reconfigure(Checking::On, at(5)), None);
    assert!(health.observe(REFUSED, THREE, at(6)).is_some());
}

#[test]
fn r_h2_a_lower_threshold_takes_effect_with_the_next_check() {
    let mut health = healthy();
    let ten = Thresholds { healthy: 10, unhealthy: 10 };
    for second in 1..=5 {
        assert_eq!(health.observe(REFUSED, ten, at(second)), None);
    }
    assert!(health.observe(REFUSED, THREE, at(6)).is_some());
}

#[test]
fn r_h3_a_group_that_no_listener_names_is_unused_until_one_does() {
    let mut health = unhealthy();
    let transition = health.reconfigure(Checking::NotInUse, at(9));
    assert_eq!(transition.map(|transition| transition.to), Some(State::Unused));
    assert_eq!(observe(&mut health, &[SUCCESS; 9]), None);
    assert_eq!((health.state(), health.reason()), (State::Unused, Some(Reason::NotInUse)));

    let transition = health.reconfigure(Checking::On, at(20));
    assert_eq!(transition.map(|transition| transition.to), Some(State::Initial));
}

#[test]
fn r_w3_a_draining_target_takes_nothing_new_whatever_its_checks_and_reloads_say() {
    let mut health = healthy();
    let reason = Some(Reason::DeregistrationInProgress);
    let transition = health.drain(at(9));
    assert_eq!(transition, Some(Transition { from: State::Healthy, to: State::Draining, reason }));
    assert_eq!(observe(&mut health, &[SUCCESS; 9]), None);
    assert_eq!(health.reconfigure(Checking::Off, at(20)), None);
    assert_eq!(health.drain(at(21)), None);
    assert_eq!((health.state(), health.reason(), health.since()), (State::Draining, reason, at(9)));
}

#[test]
fn r_h5_a_failure_of_our_own_host_is_shown_and_counted_but_never_makes_a_target_unhealthy() {
    let mut health = healthy();
    assert_eq!(observe(&mut health, &[NO_DESCRIPTOR; 100]), None);
    assert_eq!((health.state(), health.host_failures()), (State::Healthy, 100));
    assert_eq!(health.last_check().and_then(|check| check.failure), Some(Failure::NoDescriptor));
}

#[test]
fn r_h5_a_failure_of_our_own_host_does_not_break_the_run_of_the_targets_failures() {
    let mut health = healthy();
    let transition = observe(&mut health, &[REFUSED, NO_DESCRIPTOR, REFUSED, NO_DESCRIPTOR, REFUSED]);
    assert_eq!(transition.map(|transition| transition.to), Some(State::Unhealthy));
}

#[test]
fn r_h5_the_last_check_says_when_how_long_and_what_failed() {
    let mut health = checked();
    assert_eq!(health.last_check(), None);
    health.observe(SUCCESS, THREE, at(5));
    let latency = Some(Duration::from_micros(250));
    assert_eq!(health.last_check(), Some(LastCheck { at: at(5), latency, failure: None }));
    health.observe(REFUSED, THREE, at(10));
    let failure = Some(Failure::Refused);
    assert_eq!(health.last_check(), Some(LastCheck { at: at(10), latency: None, failure }));
}

#[test]
fn r_h5_what_the_kernel_answers_has_a_name() {
    let cases = [
        (libc::ECONNREFUSED, "refused"),
        (libc::ETIMEDOUT, "timeout"),
        (libc::ECONNRESET, "reset"),
        (libc::EHOSTUNREACH, "unreachable"),
        (libc::ENETUNREACH, "unreachable"),
        (libc::EPERM, "denied"),
        (libc::EMFILE, "no_descriptor"),
        (libc::ENFILE, "no_descriptor"),
        (libc::EADDRNOTAVAIL, "no_source_port"),
        (libc::EAGAIN, "no_source_port"),
        (libc::ENOBUFS, "host"),
        (libc::EPROTO, "other"),
    ];
    for (errno, name) in cases {
        assert_eq!(Failure::from_io(&io::Error::from_raw_os_error(errno)).as_str(), name, "errno {errno}");
    }
    assert_eq!(Failure::from_io(&io::Error::from_raw_os_error(libc::EPROTO)).errno(), Some(libc::EPROTO));
}

#[test]
fn r_h5_an_error_without_errno_is_named_by_its_kind() {
    let from_kind = |kind: io::ErrorKind| Failure::from_io(&kind.into());
    assert_eq!(from_kind(io::ErrorKind::TimedOut), Failure::Timeout);
    assert_eq!(from_kind(io::ErrorKind::ConnectionRefused), Failure::Refused);
    assert_eq!(from_kind(io::ErrorKind::UnexpectedEof), Failure::Reset);
    assert_eq!(from_kind(io::ErrorKind::InvalidData).errno(), None);
}

#[test]
fn r_h5_every_failure_has_its_own_name_and_hint_and_ours_say_that_the_target_is_not_to_blame() {
    let names: std::collections::BTreeSet<_> = ALL_FAILURES.map(Failure::as_str).into();
    let hints: std::collections::BTreeSet<_> = ALL_FAILURES.map(Failure::hint).into();
    assert_eq!((names.len(), hints.len()), (ALL_FAILURES.len(), ALL_FAILURES.len()));
    for failure in ALL_FAILURES {
        assert_eq!(failure.hint().contains("says nothing about the target"), failure.is_ours(), "{failure:?}");
    }
}

#[test]
fn states_reasons_and_failures_are_written_as_in_the_api() {
    let transition = Transition { from: State::Initial, to: State::Unhealthy, reason: Some(Reason::Timeout) };
    let json = serde_json::to_value(transition).expect("plain data");
    let expected = serde_json::json!({ "from": "initial", "to": "unhealthy", "reason": "Target.Timeout" });
    assert_eq!(json, expected);
    assert_eq!(serde_json::to_value(Failure::NoSourcePort).expect("plain data"), "no_source_port");
    for state in [State::Initial, State::Healthy, State::Unhealthy, State::Draining, State::Unused] {
        assert_eq!(serde_json::to_value(state).expect("plain data"), state.as_str());
    }
}

/// The same rules, without counters: the history of checks that count, read anew each time.
struct Model {
    state: State,
    successes: Vec<bool>,
}

impl Model {
    fn observe(&mut self, outcome: Result<Duration, Failure>, thresholds: Thresholds) -> State {
        if outcome.is_err_and(Failure::is_ours) {
            return self.state;
        }
        self.successes.push(outcome.is_ok());
        let ends_in = |success: bool, times: u8| self.successes.ends_with(&vec![success; usize::from(times)]);
        self.state = match self.state {
            State::Initial if outcome.is_ok() => State::Healthy,
            State::Initial | State::Healthy if ends_in(false, thresholds.unhealthy) => State::Unhealthy,
            State::Unhealthy if ends_in(true, thresholds.healthy) => State::Healthy,
            unchanged => unchanged,
        };
        self.state
    }
}

fn any_outcome() -> impl Strategy<Value = Result<Duration, Failure>> {
    prop_oneof![
        3 => Just(SUCCESS),
        3 => prop::sample::select(ALL_FAILURES.to_vec()).prop_map(Err),
    ]
}

proptest! {
    #[test]
    fn r_h3_the_state_machine_agrees_with_a_model_that_rereads_the_history(
        outcomes in prop::collection::vec(any_outcome(), 0..200),
        healthy in 1..=4_u8,
        unhealthy in 1..=4_u8,
    ) {
        let thresholds = Thresholds { healthy, unhealthy };
        let mut model = Model { state: State::Initial, successes: Vec::new() };
        let mut health = checked();
        for (outcome, second) in outcomes.into_iter().zip(1..) {
            let before = health.state();
            let transition = health.observe(outcome, thresholds, at(second));
            prop_assert_eq!(health.state(), model.observe(outcome, thresholds));
            prop_assert_eq!(transition.map(|it| (it.from, it.to)), (before != health.state()).then_some((before, health.state())));
            prop_assert_eq!(transition.is_some(), health.since() == at(second));
            prop_assert_eq!(health.reason().is_none(), health.is_healthy());
        }
    }

    #[test]
    fn r_h4_the_checks_of_one_target_are_spread_evenly_over_the_interval(
        seed in any::<u64>(),
        shards in 1..=128_usize,
        interval_ms in 100..=300_000_u64,
    ) {
        let interval = Duration::from_millis(interval_ms);
        let mut phases: Vec<_> = (0..shards).map(|shard| phase(seed, shard, shards, interval)).collect();
        prop_assert!(phases.iter().all(|phase| *phase < interval));
        phases.sort();
        phases.push(phases[0] + interval);
        let even = interval.as_nanos() / shards as u128;
        for gap in phases.windows(2).map(|pair| pair[1].abs_diff(pair[0])) {
            prop_assert!(gap.as_nanos().abs_diff(even) <= 1, "{gap:?} between two checks, not {even} ns");
        }
    }

    #[test]
    fn r_h4_the_targets_of_one_shard_are_spread_over_the_interval(start in any::<u64>(), shard in 0..8_usize) {
        let interval = Duration::from_secs(5);
        let mut tenths = [0; 10];
        for target in 0..1_000 {
            let phase = phase(start.wrapping_add(target), shard, 8, interval);
            tenths[usize::try_from(phase.as_millis() / 500).expect("below ten")] += 1;
        }
        prop_assert!(tenths.iter().all(|count| (50..=150).contains(count)), "{tenths:?}");
    }
}

#[test]
fn r_h4_odd_arguments_give_a_phase_within_the_interval() {
    assert_eq!(phase(7, 0, 0, Duration::ZERO), Duration::ZERO);
    assert!(phase(7, 9, 4, Duration::from_secs(1)) < Duration::from_secs(1));
    assert!(phase(7, 1, 2, Duration::MAX) < Duration::MAX);
}
