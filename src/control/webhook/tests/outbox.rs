//! The queues: by hand, and through anything that can happen to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::Instant;

use super::super::outbox::{
    Attempt, Ended, Outbox, PAUSE_FIRST, PAUSE_MAX, RETRY_AFTER_MAX, SENT_MAX, Undelivered, WAITING_MAX,
};
use super::super::report::{REPORT_AGE_MAX, Report};
use super::super::send::{Failed, Outcome};
use super::{name, report, url};
use crate::inventory::WebhookUrl;

const SECOND: Duration = Duration::from_secs(1);

fn refused(retry_after: Option<Duration>) -> Outcome {
    Outcome::Failed { why: Failed::Status, said: "it answered 500".into(), retry_after }
}

fn to(webhooks: &[(&str, &str)]) -> BTreeMap<Arc<str>, WebhookUrl> {
    webhooks.iter().map(|(group, webhook)| (name(group), url(webhook))).collect()
}

/// An outbox of one scaling group, `asg`.
fn outbox(now: Instant) -> Outbox {
    let mut outbox = Outbox::default();
    assert!(outbox.follow(&to(&[("asg", "http://a/")]), now).is_empty());
    outbox
}

fn sent(outbox: &mut Outbox, now: Instant) -> Attempt {
    let (mut attempts, dropped) = outbox.due(now);
    assert_eq!((attempts.len(), dropped.len()), (1, 0));
    attempts.remove(0)
}

#[test]
fn r_g9_a_report_is_sent_until_it_is_taken_with_pauses_that_double() {
    let mut now = Instant::now();
    let mut outbox = outbox(now);
    assert_eq!(outbox.wakes_at(), None);
    assert_eq!(outbox.push(report("asg", 1, now)), None);
    for failures in 1..=12 {
        let attempt = sent(&mut outbox, now);
        assert_eq!((&*attempt.report.id, attempt.webhook.as_str()), ("msg_1", "http://a/"));
        assert!(outbox.due(now).0.is_empty(), "one at a time");
        let most = (PAUSE_FIRST * (1 << (failures - 1))).min(PAUSE_MAX);
        let ended = outbox.ended(attempt.report, &refused(None), 1.0, now);
        assert_eq!(ended, Ended::Failed { failures, pause: most, dropped: None });
        assert_eq!(outbox.wakes_at(), Some(now + most));
        assert!(outbox.due(now + most - Duration::from_nanos(1)).0.is_empty());
        now += most;
    }
    let attempt = sent(&mut outbox, now);
    assert_eq!(outbox.ended(attempt.report, &Outcome::Delivered, 1.0, now), Ended::Delivered { failures: 12 });
    assert_eq!((outbox.wakes_at(), outbox.due(now + REPORT_AGE_MAX).0.len()), (None, 0));
    let counts = outbox.figures().next().expect("a queue").counts;
    assert_eq!((counts.reports, counts.delivered, counts.failed[Failed::Status as usize]), (1, 1, 12));
}

#[test]
fn r_g9_the_pause_is_drawn_anew_and_no_shorter_than_the_receiver_asks_for() {
    let now = Instant::now();
    let pause = |random, asks: Option<Duration>| {
        let mut outbox = outbox(now);
        outbox.push(report("asg", 1, now));
        let attempt = sent(&mut outbox, now);
        let Ended::Failed { pause, .. } = outbox.ended(attempt.report, &refused(asks), random, now) else {
            panic!("it is tried again")
        };
        pause
    };
    assert_eq!([0.0, 0.25, 1.0].map(|random| pause(random, None)), [Duration::ZERO, SECOND / 4, SECOND]);
    assert_eq!([0.0, 1.0].map(|random| pause(random, Some(30 * SECOND))), [30 * SECOND; 2]);
    assert_eq!(pause(1.0, Some(Duration::ZERO)), SECOND);
    assert_eq!(pause(0.0, Some(Duration::MAX)), RETRY_AFTER_MAX);
}

#[test]
fn r_g9_a_report_is_given_up_after_an_hour_and_one_that_is_on_its_way_is_not() {
    let now = Instant::now();
    let mut outbox = outbox(now);
    outbox.push(report("asg", 1, now));
    outbox.push(report("asg", 2, now));
    let attempt = sent(&mut outbox, now);
    let late = now + REPORT_AGE_MAX;
    assert_eq!(outbox.wakes_at(), Some(late));
    let (attempts, expired) = outbox.due(late);
    assert!(attempts.is_empty());
    assert_eq!(
        expired.iter().map(|(report, why)| (&*report.id, *why)).collect::<Vec<_>>(),
        [("msg_2", Undelivered::Expired)]
    );
    outbox.ended(attempt.report, &refused(None), 0.0, late);
    let (attempts, expired) = outbox.due(late);
    assert_eq!((attempts.len(), expired.len()), (0, 1), "now it is too old as well");
    assert_eq!(outbox.figures().next().expect("a queue").counts.dropped[Undelivered::Expired as usize], 2);
}

#[test]
fn r_g9_a_report_that_cannot_be_taken_holds_up_no_other() {
    let now = Instant::now();
    let mut outbox = outbox(now);
    (1..=3).for_each(|number| drop(outbox.push(report("asg", number, now))));
    let poison = sent(&mut outbox, now).report;
    outbox.ended(poison, &refused(None), 0.0, now);
    let mut order = Vec::new();
    for _ in 0..3 {
        let attempt = sent(&mut outbox, now);
        order.push(attempt.report.id.to_string());
        outbox.ended(attempt.report, &Outcome::Delivered, 0.0, now);
    }
    assert_eq!(order, ["msg_2", "msg_3", "msg_1"]);
}

#[test]
fn r_g9_a_full_queue_loses_its_oldest_report() {
    let mut now = Instant::now();
    let mut outbox = outbox(now);
    for number in 0..WAITING_MAX {
        assert_eq!(outbox.push(report("asg", number, now)), None);
        now += Duration::from_millis(1);
    }
    // The oldest has failed, so it is the last in the queue.
    let oldest = sent(&mut outbox, now).report;
    assert_eq!(outbox.push(report("asg", WAITING_MAX, now)), None);
    let Ended::Failed { failures: 1, dropped: Some(dropped), .. } = outbox.ended(oldest, &refused(None), 0.0, now)
    else {
        panic!("there is no room, and it has failed")
    };
    assert_eq!((&*dropped.0.id, dropped.1), ("msg_0", Undelivered::QueueFull));
    let dropped = outbox.push(report("asg", WAITING_MAX + 1, now)).expect("there is no room");
    assert_eq!((&*dropped.0.id, dropped.1), ("msg_1", Undelivered::QueueFull));
    assert_eq!(outbox.figures().next().map(|queue| queue.waiting), Some(WAITING_MAX));
}

#[test]
fn r_g9_a_webhook_that_is_gone_gets_nothing_until_the_config_changes() {
    let now = Instant::now();
    let mut outbox = outbox(now);
    (1..=3).for_each(|number| drop(outbox.push(report("asg", number, now))));
    let attempt = sent(&mut outbox, now);
    let Ended::Dropped(dropped) = outbox.ended(attempt.report, &Outcome::Gone, 0.0, now) else { panic!("all go") };
    assert_eq!(dropped.len(), 3);
    assert_eq!(outbox.push(report("asg", 4, now)).map(|(_, why)| why), Some(Undelivered::Gone));
    assert_eq!((outbox.due(now).0.len(), outbox.wakes_at()), (0, None));
    outbox.follow(&to(&[("asg", "http://a/")]), now);
    assert_eq!(outbox.push(report("asg", 5, now)), None);
    assert_eq!(&*sent(&mut outbox, now).report.id, "msg_5");
}

#[test]
fn r_g9_what_waits_goes_to_the_new_url_at_once_and_nowhere_when_its_scaling_group_is_removed() {
    let now = Instant::now();
    let mut outbox = outbox(now);
    outbox.push(report("asg", 1, now));
    outbox.push(report("asg", 2, now));
    let attempt = sent(&mut outbox, now);
    outbox.ended(attempt.report, &refused(Some(60 * SECOND)), 1.0, now);
    assert!(outbox.due(now).0.is_empty());
    outbox.follow(&to(&[("asg", "http://a/")]), now);
    assert!(outbox.due(now).0.is_empty(), "another change is no matter");
    outbox.follow(&to(&[("asg", "http://b/")]), now);
    let attempt = sent(&mut outbox, now);
    assert_eq!((&*attempt.report.id, attempt.webhook.as_str()), ("msg_2", "http://b/"));

    let removed = outbox.follow(&BTreeMap::new(), now);
    assert_eq!(
        removed.iter().map(|(report, why)| (&*report.id, *why)).collect::<Vec<_>>(),
        [("msg_1", Undelivered::Removed)]
    );
    assert_eq!(outbox.figures().count(), 0);
    // One of the same name is another one: what was on its way is not its own.
    outbox.follow(&to(&[("asg", "http://b/")]), now);
    let ended = outbox.ended(attempt.report, &refused(None), 1.0, now);
    assert!(matches!(&ended, Ended::Dropped(dropped) if dropped[0].1 == Undelivered::Removed), "{ended:?}");
    assert_eq!(outbox.push(report("none", 3, now)).map(|(_, why)| why), Some(Undelivered::Removed));
}

#[test]
fn r_g9_webhooks_that_hang_leave_room_for_others_by_turns() {
    let now = Instant::now();
    let names: Vec<String> = (0..=SENT_MAX).map(|number| format!("asg-{number:02}")).collect();
    let webhooks: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "http://a/")).collect();
    let mut outbox = Outbox::default();
    outbox.follow(&to(&webhooks), now);
    names.iter().for_each(|name| drop(outbox.push(report(name, 0, now))));
    let (mut attempts, _) = outbox.due(now);
    assert_eq!(attempts.len(), SENT_MAX);
    assert!(outbox.wakes_at().is_some_and(|at| at > now), "nothing can be sent before one ends");
    let first = attempts.remove(0);
    outbox.ended(first.report, &refused(None), 0.0, now + 5 * SECOND);
    assert_eq!(&*sent(&mut outbox, now + 5 * SECOND).report.scaling_group, &*names[SENT_MAX]);
}

/// What can happen.
#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Pass(Duration),
    /// One that is on its way ends.
    End(usize, Outcome, f64),
    /// The webhooks of the scaling groups from now on; `None`: there is no such group.
    Follow([Option<usize>; 3]),
}

const GROUPS: [&str; 3] = ["a", "b", "c"];
const URLS: [&str; 2] = ["http://a/", "https://b/"];

fn step() -> impl Strategy<Value = Step> {
    let retry_after = prop::option::of((0..2000_u64).prop_map(Duration::from_secs));
    let outcome = prop_oneof![
        4 => Just(Outcome::Delivered),
        1 => Just(Outcome::Gone),
        8 => retry_after.prop_map(refused),
    ];
    prop_oneof![
        6 => (0..3_usize).prop_map(Step::Push),
        4 => (0..400_000_u64).prop_map(|ms| Step::Pass(Duration::from_millis(ms))),
        8 => (any::<usize>(), outcome, 0.0..1.0).prop_map(|(index, outcome, random)| Step::End(index, outcome, random)),
        1 => prop::array::uniform3(prop::option::weighted(0.8, 0..2_usize)).prop_map(Step::Follow),
    ]
}

/// What is known from outside.
struct Model {
    outbox: Outbox,
    now: Instant,
    webhooks: BTreeMap<Arc<str>, WebhookUrl>,
    pushed: usize,
    ended: BTreeSet<Arc<str>>,
    /// With whether its scaling group was there all the time.
    on_the_way: Vec<(Attempt, bool)>,
    not_before: BTreeMap<Arc<str>, Instant>,
}

impl Model {
    fn end(&mut self, dropped: impl IntoIterator<Item = (Report, Undelivered)>) {
        for (report, _) in dropped {
            assert!(self.ended.insert(report.id), "it ends once");
        }
    }

    fn follow(&mut self, webhooks: BTreeMap<Arc<str>, WebhookUrl>) {
        let dropped = self.outbox.follow(&webhooks, self.now);
        assert!(dropped.iter().all(|(report, _)| !webhooks.contains_key(&report.scaling_group)));
        self.end(dropped);
        self.on_the_way.iter_mut().for_each(|(attempt, stayed)| {
            *stayed &= webhooks.contains_key(&attempt.report.scaling_group);
        });
        let (before, after) = (&self.webhooks, &webhooks);
        self.not_before.retain(|group, _| before.get(group) == after.get(group));
        self.webhooks = webhooks;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push(group) => {
                self.pushed += 1;
                let dropped = self.outbox.push(report(GROUPS[group], self.pushed, self.now));
                self.end(dropped);
            }
            Step::Pass(time) => self.now += time,
            Step::Follow(urls) => {
                let named = GROUPS.iter().zip(urls);
                self.follow(named.filter_map(|(group, index)| Some((name(group), url(URLS[index?])))).collect());
            }
            Step::End(..) if self.on_the_way.is_empty() => {}
            Step::End(index, outcome, random) => {
                let (Attempt { report, .. }, stayed) = self.on_the_way.remove(index % self.on_the_way.len());
                let (id, group) = (Arc::clone(&report.id), Arc::clone(&report.scaling_group));
                match self.outbox.ended(report, &outcome, random, self.now) {
                    Ended::Delivered { .. } => {
                        assert_eq!(outcome, Outcome::Delivered);
                        assert!(self.ended.insert(id));
                    }
                    Ended::Failed { pause, dropped, .. } => {
                        assert!(pause <= RETRY_AFTER_MAX && stayed);
                        self.not_before.insert(group, self.now + pause);
                        self.end(dropped);
                    }
                    Ended::Dropped(dropped) => self.end(dropped),
                }
            }
        }
        self.send();
    }

    fn send(&mut self) {
        let (attempts, expired) = self.outbox.due(self.now);
        assert!(expired.iter().all(|(report, _)| self.now - report.made_at >= REPORT_AGE_MAX));
        self.end(expired);
        for attempt in attempts {
            let Report { scaling_group, id, made_at, .. } = &attempt.report;
            assert_eq!(self.webhooks.get(scaling_group), Some(&attempt.webhook), "the URL of now");
            assert!(!self.ended.contains(id) && self.now - *made_at < REPORT_AGE_MAX);
            assert!(self.not_before.get(scaling_group).is_none_or(|at| *at <= self.now), "it pauses");
            let is_other = |(other, stayed): &(Attempt, bool)| *stayed && other.report.scaling_group == *scaling_group;
            assert!(!self.on_the_way.iter().any(is_other), "one at a time");
            self.on_the_way.push((attempt, true));
        }
        assert!(self.outbox.wakes_at().is_none_or(|at| at > self.now), "nothing is left to do now");
        let of_outbox: usize = self.outbox.figures().map(|queue| queue.waiting).sum();
        let orphans = self.on_the_way.iter().filter(|(_, stayed)| !stayed).count();
        assert_eq!(self.pushed, self.ended.len() + of_outbox + orphans, "none is lost");
    }
}

proptest! {
    #[test]
    fn r_g9_whatever_happens_each_report_ends_once_and_no_webhook_is_pressed(steps in vec(step(), 0..200)) {
        let now = Instant::now();
        let webhooks = to(&[("a", URLS[0]), ("b", URLS[0]), ("c", URLS[1])]);
        let (outbox, not_before) = (Outbox::default(), BTreeMap::new());
        let mut model = Model {
            outbox, now, webhooks: BTreeMap::new(), pushed: 0, ended: BTreeSet::new(), on_the_way: Vec::new(), not_before
        };
        model.follow(webhooks);
        steps.into_iter().for_each(|step| model.step(step));
        // Receivers that take everything get everything that is left.
        for _ in 0..1000 {
            while !model.on_the_way.is_empty() {
                model.step(Step::End(0, Outcome::Delivered, 0.0));
            }
            let Some(at) = model.outbox.wakes_at() else { break };
            model.now = at;
            model.send();
        }
        prop_assert_eq!(model.ended.len(), model.pushed);
    }
}
