//! Who is next, and why nobody else: `pick_for_request` without the pick.

use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::{Group, TargetState};
use crate::config::Target;
use crate::l7::Tag;
use crate::shard::explain::{GroupAnswer, Next, Standing, TargetAnswer};

impl Group {
    /// Whom a connection or request of `client` would get, if its session is with the target that `session` names.
    pub(in crate::shard) fn explain(&self, session: Option<&Tag>, client: IpAddr) -> GroupAnswer {
        let next = self.next(session, client);
        let config = self.config.borrow();
        let targets = self.targets.borrow();
        let balancer = self.balancer.borrow();
        let mut is_eligible = vec![false; targets.len()];
        for index in balancer.eligible().filter(|index| !balancer.stands_by(*index)) {
            is_eligible[index] = true;
        }
        let of_target = |(index, (config, target)): (usize, (&Target, &Rc<TargetState>))| {
            let standing = match next {
                Next::BySession(next) | Next::ByTurn(next) if next == index => Standing::Next,
                _ if config.weight == 0 => Standing::WeightZero,
                _ if target.is_at(client) => Standing::Loopback,
                Next::BySession(_) if is_eligible[index] => Standing::SessionElsewhere,
                _ if is_eligible[index] => Standing::NotItsTurn,
                _ if balancer.stands_by(index) => Standing::OtherZone,
                _ => Standing::NotHealthy,
            };
            target.explain(config.weight, standing)
        };
        GroupAnswer {
            name: Arc::clone(&config.name),
            failing_open: balancer.is_failing_open(),
            next,
            targets: config.targets.iter().zip(&*targets).enumerate().map(of_target).collect(),
            unbound: self.still_busy(),
        }
    }

    fn next(&self, session: Option<&Tag>, client: IpAddr) -> Next {
        let targets = self.targets.borrow();
        let index_of = |target: &Rc<TargetState>| targets.iter().position(|other| Rc::ptr_eq(other, target));
        if let Some(index) = self.of_session(session, client).as_ref().and_then(index_of) {
            return Next::BySession(index);
        }
        let balancer = self.balancer.borrow();
        let load = |index: usize| targets[index].active.get();
        match balancer.peek(load, |index| !targets[index].is_at(client)) {
            Some(index) => Next::ByTurn(index),
            None if balancer.eligible_count() > 0 => Next::Own,
            None => Next::Nobody,
        }
    }

    fn still_busy(&self) -> Vec<(SocketAddr, u32)> {
        let leaving = self.leaving.borrow();
        let busy = leaving.iter().filter_map(Weak::upgrade).map(|target| (target.address, target.active.get()));
        busy.filter(|(_, active)| *active > 0).collect()
    }
}

impl TargetState {
    fn explain(&self, weight: u8, standing: Standing) -> TargetAnswer {
        let health = self.health.borrow();
        TargetAnswer {
            address: self.address,
            weight,
            state: health.state(),
            reason: health.reason(),
            failure: health.last_check().and_then(|check| check.failure),
            active: self.active.get(),
            standing,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::SystemTime;

    use super::super::Pick;
    use super::*;
    use crate::config::{Mode, Snapshot, parse};
    use crate::health::Failure;
    use crate::l7::Wish;
    use crate::l7::{Keys, Wanted};

    fn snapshot(keys: &str, targets: &[(&str, u8)]) -> Snapshot {
        let targets =
            targets.iter().map(|(address, weight)| format!("{{address='{address}',port=80,weight={weight}}}"));
        let targets = targets.collect::<Vec<_>>().join(",");
        let text = format!("[[target_group]]\nname='app'\nprotocol='http'\n{keys}\ntarget=[{targets}]\n");
        parse("t", &text, Mode::Run).unwrap()
    }

    fn apply(group: &Group, snapshot: &Snapshot) {
        let now = (quanta::Instant::now(), SystemTime::UNIX_EPOCH);
        group.apply(&snapshot.groups[0], snapshot, vec![client()], now);
    }

    /// Those of this process, which every snapshot here has.
    fn keys() -> Keys {
        snapshot("", &[]).cookie_keys
    }

    fn group(keys: &str, targets: &[(&str, u8)]) -> Rc<Group> {
        let snapshot = snapshot(keys, targets);
        let group = Group::new(&snapshot.groups[0], 0);
        apply(&group, &snapshot);
        group
    }

    const NO_CHECK: &str = "health_check={protocol='none'}";

    fn client() -> IpAddr {
        [10, 0, 0, 9].into()
    }

    fn standings(answer: &GroupAnswer) -> Vec<Standing> {
        answer.targets.iter().map(|target| target.standing).collect()
    }

    #[test]
    fn the_next_one_is_who_is_picked_next_however_often_one_looks() {
        let group = group(NO_CHECK, &[("10.0.0.1", 10), ("10.0.0.2", 20), ("10.0.0.3", 0)]);
        for _ in 0..9 {
            let seen = group.explain(None, client());
            assert_eq!(group.explain(None, client()).next, seen.next);
            let Next::ByTurn(next) = seen.next else { panic!("{:?}", seen.next) };
            let Pick::Target(picked) = group.pick(&[], client()) else { panic!("a target") };
            assert_eq!(picked.address, seen.targets[next].address);
            let mut expected = [Standing::NotItsTurn, Standing::NotItsTurn, Standing::WeightZero];
            expected[next] = Standing::Next;
            assert_eq!(standings(&seen), expected);
        }
    }

    #[test]
    fn the_unhealthy_are_out_until_the_group_fails_open() {
        let group = group("health_check={protocol='tcp',unhealthy=2}", &[("10.0.0.1", 1), ("10.0.0.2", 1)]);
        let check = group.config().health_check.clone().unwrap();
        let targets = group.targets();
        group.observe(&targets[0], Ok(std::time::Duration::ZERO), &check);
        (0..2).for_each(|_| _ = group.observe(&targets[1], Err(Failure::Refused), &check));
        let answer = group.explain(None, client());
        assert_eq!(standings(&answer), [Standing::Next, Standing::NotHealthy]);
        assert_eq!(answer.targets[1].failure, Some(Failure::Refused));
        (0..2).for_each(|_| _ = group.observe(&targets[0], Err(Failure::Timeout), &check));
        let answer = group.explain(None, client());
        assert!(answer.failing_open);
        assert!(!standings(&answer).contains(&Standing::NotHealthy), "{answer:?}");
    }

    #[test]
    fn a_client_is_not_sent_to_itself() {
        let group = group(NO_CHECK, &[("10.0.0.9", 1), ("10.0.0.2", 1)]);
        let answer = group.explain(None, client());
        assert_eq!(standings(&answer), [Standing::Loopback, Standing::Next]);
        apply(&group, &snapshot(NO_CHECK, &[("10.0.0.9", 1)]));
        let answer = group.explain(None, client());
        assert_eq!((answer.next, standings(&answer)), (Next::Own, vec![Standing::Loopback]));
        apply(&group, &snapshot(NO_CHECK, &[]));
        assert_eq!(group.explain(None, client()).next, Next::Nobody);
    }

    #[test]
    fn a_session_leads_to_its_target_at_weight_0_too() {
        let sticky = format!("{NO_CHECK}\nstickiness={{type='cookie',duration='60s'}}");
        let group = group(&sticky, &[("10.0.0.1", 1), ("10.0.0.2", 0), ("10.0.0.3", 1)]);
        let address: SocketAddr = "10.0.0.2:80".parse().unwrap();
        let tag = keys().target_tags("app", address).next().unwrap();
        let answer = group.explain(Some(&tag), client());
        assert_eq!(answer.next, Next::BySession(1));
        assert_eq!(standings(&answer), [Standing::SessionElsewhere, Standing::Next, Standing::SessionElsewhere]);
        let wish = Wish { group: 0, client: client(), sticky: Some(&tag), connection: Wanted::Any };
        assert!(matches!(group.pick_for_request(&[], &wish), Pick::Target(target) if target.address == address));
        let nobody = keys().target_tags("app", "10.0.0.4:80".parse().unwrap()).next().unwrap();
        assert!(matches!(group.explain(Some(&nobody), client()).next, Next::ByTurn(_)));
    }

    #[test]
    fn an_unbound_target_is_told_while_something_runs_there() {
        let group = group(NO_CHECK, &[("10.0.0.1", 1), ("10.0.0.2", 1)]);
        let target = Rc::clone(&group.targets()[0]);
        let claim = target.claim();
        apply(&group, &snapshot(NO_CHECK, &[("10.0.0.2", 1)]));
        let answer = group.explain(None, client());
        assert_eq!((answer.unbound, answer.targets.len()), (vec![(target.address, 1)], 1));
        drop(claim);
        assert_eq!(group.explain(None, client()).unbound, []);
    }
}
