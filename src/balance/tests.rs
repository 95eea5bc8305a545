//! What the two algorithms promise, on any weights.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::iter::repeat_with;

fn healthy(weights: &[u8]) -> Vec<Candidate> {
    weights.iter().map(|&weight| candidate(weight, true)).collect()
}

/// In the own zone, as all of a group that does not mind zones.
fn candidate(weight: u8, healthy: bool) -> Candidate {
    Candidate { weight, healthy, zone: Zone::Own }
}

fn elsewhere(candidate: Candidate) -> Candidate {
    Candidate { zone: Zone::Other, ..candidate }
}

fn balancer(algorithm: Algorithm, candidates: &[Candidate]) -> Balancer {
    let mut balancer = Balancer::new(algorithm, 0);
    balancer.refresh(candidates, WhenNoneHealthy::SendToAll);
    balancer
}

fn round_robin(weights: &[u8]) -> Balancer {
    balancer(Algorithm::WeightedRoundRobin, &healthy(weights))
}

/// A pick by a connection without any wish, on targets without load.
fn next(balancer: &mut Balancer) -> usize {
    balancer.pick(|_| 0, |_| true).expect("a target is eligible")
}

fn take(balancer: &mut Balancer, picks: usize) -> Vec<usize> {
    repeat_with(|| next(balancer)).take(picks).collect()
}

fn counts(picked: &[usize], targets: usize) -> Vec<usize> {
    (0..targets).map(|target| picked.iter().filter(|&&other| other == target).count()).collect()
}

fn sum(weights: &[u8]) -> usize {
    weights.iter().map(|&weight| usize::from(weight)).sum()
}

fn any_weights() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1..=100_u8, 1..=50)
}

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    prop_oneof![Just(Algorithm::WeightedRoundRobin), Just(Algorithm::LeastConnections)]
}

#[test]
fn r_w1_of_6000_connections_weights_10_20_30_get_exactly_their_share_and_never_stray_a_whole_one() {
    let picked = take(&mut round_robin(&[10, 20, 30]), 6_000);
    assert_eq!(counts(&picked, 3), [1_000, 2_000, 3_000]);
    assert_eq!(&picked[..12], [2, 1, 2, 1, 2, 0, 2, 1, 2, 1, 2, 0]);
}

#[test]
fn r_b1_a_heavy_target_among_many_light_ones_has_its_turns_spread() {
    let mut weights = vec![1; 50];
    weights[7] = 100;
    let picked = take(&mut round_robin(&weights), 149 * 3);
    let runs = picked.chunk_by(|one, other| (*one == 7) == (*other == 7));
    assert!(runs.map(<[usize]>::len).max() <= Some(3), "{picked:?}");
}

#[test]
fn r_b1_equal_targets_take_turns_in_the_order_of_the_file() {
    assert_eq!(take(&mut round_robin(&[10; 4]), 8), [0, 1, 2, 3, 0, 1, 2, 3]);
}

#[test]
fn r_b1_shards_begin_at_different_targets() {
    let first_picks: Vec<usize> = (0..5)
        .map(|shard| {
            let mut balancer = Balancer::new(Algorithm::WeightedRoundRobin, shard);
            balancer.refresh(&healthy(&[10; 3]), WhenNoneHealthy::Refuse);
            next(&mut balancer)
        })
        .collect();
    assert_eq!(first_picks, [0, 1, 2, 0, 1]);
}

#[test]
fn without_targets_there_is_no_pick() {
    for algorithm in [Algorithm::WeightedRoundRobin, Algorithm::LeastConnections] {
        let mut balancer = Balancer::new(algorithm, 5);
        assert_eq!(balancer.pick(|_| 0, |_| true), None);
        balancer.refresh(&healthy(&[10]), WhenNoneHealthy::SendToAll);
        assert_eq!(balancer.pick(|_| 0, |_| true), Some(0));
        balancer.refresh(&[], WhenNoneHealthy::SendToAll);
        assert_eq!(balancer.pick(|_| 0, |_| true), None);
        assert_eq!((balancer.eligible_count(), balancer.is_failing_open()), (0, false));
    }
}

#[test]
fn fifty_reloads_that_change_nothing_leave_the_rotation_where_it_is() {
    let mut reloaded = round_robin(&[10, 20, 30]);
    let mut picked = Vec::new();
    for _ in 0..50 {
        picked.extend(take(&mut reloaded, 7));
        reloaded.refresh(&healthy(&[10, 20, 30]), WhenNoneHealthy::SendToAll);
    }
    assert_eq!(picked, take(&mut round_robin(&[10, 20, 30]), 350));
}

#[test]
fn a_flapping_target_does_not_take_the_others_out_of_proportion() {
    let mut candidates = healthy(&[10, 20, 30, 40]);
    let mut balancer = balancer(Algorithm::WeightedRoundRobin, &candidates);
    let mut picked = Vec::new();
    for _ in 0..1_200 {
        picked.extend(take(&mut balancer, 2));
        candidates[3].healthy = !candidates[3].healthy;
        balancer.refresh(&candidates, WhenNoneHealthy::SendToAll);
    }
    let counts = counts(&picked, 4);
    let others = counts[0] + counts[1] + counts[2];
    for (target, share) in [(0, 1), (1, 2), (2, 3)] {
        assert!((counts[target] * 6).abs_diff(others * share) <= others * 6 / 100, "{counts:?}");
    }
}

#[test]
fn in_a_large_group_with_a_flapping_target_every_target_still_has_its_turn() {
    let mut candidates = healthy(&[10; 1_000]);
    let mut balancer = balancer(Algorithm::WeightedRoundRobin, &candidates);
    let mut picked = Vec::new();
    for _ in 0..202 {
        picked.extend(take(&mut balancer, 5));
        candidates[0].healthy = !candidates[0].healthy;
        balancer.refresh(&candidates, WhenNoneHealthy::SendToAll);
    }
    let reached: BTreeSet<usize> = picked.into_iter().collect();
    assert!(reached.len() >= 999, "{} targets were picked", reached.len());
}

#[test]
fn a_target_left_out_for_long_does_not_take_everything_when_it_is_back() {
    let mut balancer = round_robin(&[10; 10]);
    for _ in 0..10_000 {
        assert_ne!(balancer.pick(|_| 0, |target| target != 4), Some(4));
    }
    let back = take(&mut balancer, 100);
    let longest = back.chunk_by(PartialEq::eq).map(<[usize]>::len).max();
    assert!(longest <= Some(8), "{back:?}");
    assert!((10..=18).contains(&counts(&back, 10)[4]), "{back:?}");
}

#[test]
fn r_b5_fail_open_ends_with_the_first_target_that_recovers() {
    let mut candidates = vec![candidate(10, false); 3];
    let mut balancer = balancer(Algorithm::WeightedRoundRobin, &candidates);
    assert!(balancer.is_failing_open());
    assert_eq!(counts(&take(&mut balancer, 30), 3), [10, 10, 10]);

    candidates[1].healthy = true;
    balancer.refresh(&candidates, WhenNoneHealthy::SendToAll);
    assert!(!balancer.is_failing_open());
    assert_eq!(take(&mut balancer, 5), [1; 5]);
}

#[test]
fn r_b5_a_healthy_target_of_weight_0_does_not_keep_the_group_from_failing_open() {
    let candidates = [candidate(0, true), candidate(10, false)];
    let mut balancer = balancer(Algorithm::WeightedRoundRobin, &candidates);
    assert_eq!(take(&mut balancer, 3), [1; 3]);
}

#[test]
fn r_b1_least_connections_on_an_idle_group_is_weighted_round_robin() {
    let weights = [10, 20, 30, 40];
    let idle = &mut balancer(Algorithm::LeastConnections, &healthy(&weights));
    assert_eq!(take(idle, 500), take(&mut round_robin(&weights), 500));
}

#[test]
fn r_b1_least_connections_sends_to_the_target_with_room_for_its_weight() {
    let mut balancer = balancer(Algorithm::LeastConnections, &healthy(&[10, 20, 30]));
    let loads = [5, 11, 14];
    assert_eq!(balancer.pick(|target| loads[target], |_| true), Some(2));
    assert_eq!(balancer.pick(|target| loads[target], |target| target != 2), Some(0));
}

#[test]
fn r_b3_the_own_zone_takes_everything_by_its_weights_until_none_of_it_is_healthy() {
    let mut candidates = [candidate(10, true), candidate(20, true), elsewhere(candidate(10, true))];
    let mut balancer = balancer(Algorithm::WeightedRoundRobin, &candidates);
    assert_eq!(counts(&take(&mut balancer, 30), 3), [10, 20, 0]);
    assert!(balancer.stands_by(2) && !balancer.stands_by(0) && !balancer.is_leaving_zone());

    candidates[1].healthy = false;
    balancer.refresh(&candidates, WhenNoneHealthy::SendToAll);
    assert_eq!(counts(&take(&mut balancer, 30), 3), [30, 0, 0], "one is enough");

    candidates[0].healthy = false;
    balancer.refresh(&candidates, WhenNoneHealthy::SendToAll);
    assert_eq!(take(&mut balancer, 3), [2; 3]);
    assert!(!balancer.stands_by(2) && balancer.is_leaving_zone() && !balancer.is_failing_open());

    candidates[2].healthy = false;
    balancer.refresh(&candidates, WhenNoneHealthy::SendToAll);
    assert_eq!(counts(&take(&mut balancer, 40), 3), [10, 20, 10], "with nobody healthy all zones are tried");
    assert!(balancer.is_leaving_zone() && balancer.is_failing_open());

    candidates[0].healthy = true;
    balancer.refresh(&candidates, WhenNoneHealthy::SendToAll);
    assert_eq!(take(&mut balancer, 3), [0; 3], "and back by itself");
    assert!(!balancer.is_leaving_zone());
}

#[test]
fn r_b3_a_healthy_target_of_weight_0_does_not_hold_the_own_zone() {
    let candidates = [candidate(0, true), candidate(10, false), elsewhere(candidate(10, true))];
    assert_eq!(take(&mut balancer(Algorithm::LeastConnections, &candidates), 3), [2; 3]);
}

#[test]
fn r_b3_a_zone_without_targets_is_left_at_once() {
    let candidates = [elsewhere(candidate(10, true)), elsewhere(candidate(20, true))];
    let mut balancer = balancer(Algorithm::WeightedRoundRobin, &candidates);
    assert_eq!(counts(&take(&mut balancer, 30), 2), [10, 20]);
    assert!(balancer.is_leaving_zone());
}

#[test]
fn r_b3_r_b6_a_connection_that_may_use_nobody_of_the_own_zone_goes_to_another() {
    let others = [elsewhere(candidate(10, true)), elsewhere(candidate(20, true))];
    for algorithm in [Algorithm::WeightedRoundRobin, Algorithm::LeastConnections] {
        let mut balancer = balancer(algorithm, &[candidate(10, true), others[0], others[1]]);
        let retried: Vec<usize> =
            repeat_with(|| balancer.pick(|_| 0, |target| target != 0).expect("two stand by")).take(30).collect();
        assert_eq!(counts(&retried, 3), [0, 10, 20], "by weight, too");
        assert_eq!(take(&mut balancer, 3), [0; 3], "the next connection is at home again");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn r_b3_a_target_of_another_zone_is_picked_only_where_none_of_the_own_zone_will_do(
        algorithm in any_algorithm(),
        refuse in any::<bool>(),
        rounds in prop::collection::vec(
            (prop::collection::vec((0..4_u8, any::<bool>(), any::<bool>(), any::<bool>()), 0..8), 0..20_usize),
            1..10,
        ),
    ) {
        let when_none_healthy = if refuse { WhenNoneHealthy::Refuse } else { WhenNoneHealthy::SendToAll };
        let mut balancer = Balancer::new(algorithm, 1);
        for (targets, picks) in rounds {
            let candidates: Vec<_> = targets
                .iter()
                .map(|&(weight, healthy, own, _)| {
                    let here = candidate(weight, healthy);
                    if own { here } else { elsewhere(here) }
                })
                .collect();
            balancer.refresh(&candidates, when_none_healthy);

            let serves = |target: &usize| targets[*target].0 > 0 && targets[*target].1;
            let nobody = !(0..targets.len()).any(|target| serves(&target));
            let eligible = |target: &usize| serves(target) || (nobody && !refuse && targets[*target].0 > 0);
            let own_serves = (0..targets.len()).any(|target| serves(&target) && targets[target].2);
            let may: Vec<usize> = (0..targets.len()).filter(eligible).filter(|target| targets[*target].3).collect();
            let at_home: Vec<usize> =
                may.iter().copied().filter(|target| !own_serves || targets[*target].2).collect();
            let expected = if at_home.is_empty() { may } else { at_home };
            for _ in 0..picks {
                let picked = balancer.pick(|target| u32::from(targets[target].0 / 2), |target| targets[target].3);
                prop_assert_eq!(picked.is_some(), !expected.is_empty());
                prop_assert!(picked.is_none_or(|target| expected.contains(&target)), "{:?} of {:?}", picked, expected);
            }
            for (target, (_, _, own, _)) in targets.iter().enumerate() {
                prop_assert_eq!(balancer.stands_by(target), eligible(&target) && own_serves && !own);
            }
            let eligible_count = (0..targets.len()).filter(eligible).count();
            prop_assert_eq!(balancer.eligible_count(), eligible_count);
            prop_assert_eq!(balancer.eligible().count(), eligible_count);
            let leaves = !own_serves && (0..targets.len()).filter(eligible).any(|target| !targets[target].2);
            prop_assert_eq!(balancer.is_leaving_zone(), leaves);
        }
    }

    #[test]
    fn r_b3_the_turns_of_the_own_zone_are_those_it_would_have_alone(
        weights in any_weights(),
        others in any_weights(),
        algorithm in any_algorithm(),
    ) {
        let mut mixed = healthy(&weights);
        mixed.extend(healthy(&others).into_iter().map(elsewhere));
        let picks = 2 * sum(&weights);
        let with_others = take(&mut balancer(algorithm, &mixed), picks);
        prop_assert_eq!(with_others, take(&mut balancer(algorithm, &healthy(&weights)), picks));
    }

    #[test]
    fn r_b1_every_turn_falls_into_its_window(weights in any_weights()) {
        let total = sum(&weights);
        let picked = take(&mut round_robin(&weights), 2 * total);
        for (target, &weight) in weights.iter().enumerate() {
            let weight = usize::from(weight);
            let at = (0..picked.len()).filter(|&pick| picked[pick] == target);
            for (turn, pick) in at.enumerate() {
                let window = turn * total / weight..((turn + 1) * total).div_ceil(weight);
                prop_assert!(window.contains(&pick), "turn {turn} of target {target} at pick {pick}, not in {window:?}");
            }
        }
    }

    #[test]
    fn r_w1_after_any_number_of_picks_no_target_is_a_whole_pick_from_its_share(weights in any_weights(), first in 0..99_usize) {
        let total = sum(&weights);
        let mut balancer = Balancer::new(Algorithm::WeightedRoundRobin, first);
        balancer.refresh(&healthy(&weights), WhenNoneHealthy::Refuse);
        let mut counts = vec![0_usize; weights.len()];
        for picks in 1..=2 * total {
            counts[next(&mut balancer)] += 1;
            for (&count, &weight) in counts.iter().zip(&weights) {
                prop_assert!((count * total).abs_diff(picks * usize::from(weight)) < total);
            }
        }
        prop_assert!(counts.iter().zip(&weights).all(|(&count, &weight)| count == 2 * usize::from(weight)));
    }

    #[test]
    fn r_w2_weight_zero_takes_nothing_new(
        candidates in prop::collection::vec((0..4_u8, any::<bool>()), 0..20),
        algorithm in any_algorithm(),
        refuse in any::<bool>(),
    ) {
        let candidates: Vec<_> =
            candidates.into_iter().map(|(weight, healthy)| candidate(weight, healthy)).collect();
        let mut balancer = Balancer::new(algorithm, 0);
        balancer.refresh(&candidates, if refuse { WhenNoneHealthy::Refuse } else { WhenNoneHealthy::SendToAll });
        for _ in 0..100 {
            let picked = balancer.pick(|_| 0, |_| true);
            prop_assert!(picked.is_none_or(|target| candidates[target].weight > 0));
        }
    }

    #[test]
    fn r_b5_unhealthy_targets_are_picked_only_when_none_is_healthy_and_the_group_fails_open(
        health in prop::collection::vec(any::<bool>(), 1..6),
        algorithm in any_algorithm(),
        refuse in any::<bool>(),
    ) {
        let candidates: Vec<_> = health.iter().map(|&healthy| candidate(10, healthy)).collect();
        let mut balancer = Balancer::new(algorithm, 0);
        balancer.refresh(&candidates, if refuse { WhenNoneHealthy::Refuse } else { WhenNoneHealthy::SendToAll });
        let picked: BTreeSet<usize> = (0..60).filter_map(|_| balancer.pick(|_| 0, |_| true)).collect();

        let none_healthy = !health.contains(&true);
        let expected: BTreeSet<usize> =
            (0..health.len()).filter(|&target| health[target] || (none_healthy && !refuse)).collect();
        prop_assert_eq!(picked, expected);
        prop_assert_eq!(balancer.is_failing_open(), none_healthy && !refuse);
    }

    #[test]
    fn r_b6_a_target_that_was_tried_is_not_picked_again_and_the_last_one_left_is_found(
        weights in any_weights(),
        algorithm in any_algorithm(),
        before in 0..200_usize,
    ) {
        let mut balancer = balancer(algorithm, &healthy(&weights));
        take(&mut balancer, before);
        let mut tried = BTreeSet::new();
        while let Some(target) = balancer.pick(|_| 0, |target| !tried.contains(&target)) {
            prop_assert!(tried.insert(target));
        }
        prop_assert_eq!(tried.len(), weights.len());
    }

    #[test]
    fn r_b4_a_target_that_is_left_out_keeps_its_turn(weight in 1..=100_u8, targets in 2..50_usize, before in 0..500_usize) {
        let mut balancer = round_robin(&vec![weight; targets]);
        let turns = take(&mut balancer, before + 2)[before..].to_vec();

        let mut balancer = round_robin(&vec![weight; targets]);
        take(&mut balancer, before);
        prop_assert_eq!(balancer.pick(|_| 0, |target| target != turns[0]), Some(turns[1]));
        prop_assert_eq!(next(&mut balancer), turns[0]);
    }

    #[test]
    fn r_w1_shares_are_exact_again_after_some_picks_left_targets_out(
        weights in any_weights(),
        left_out in prop::collection::vec((0..50_usize, 0..40_usize), 0..4),
    ) {
        let total = sum(&weights);
        let mut balancer = round_robin(&weights);
        let mut counts = vec![0_usize; weights.len()];
        for pick in 0..4 * total {
            let excluded = left_out.iter().find(|(_, at)| *at == pick).map(|(target, _)| *target);
            let picked = balancer.pick(|_| 0, |target| Some(target) != excluded);
            let target = picked.unwrap_or_else(|| next(&mut balancer));
            prop_assert!(picked.is_none() || Some(target) != excluded);
            counts[target] += 1;
        }
        prop_assert!(counts.iter().zip(&weights).all(|(&count, &weight)| count == 4 * usize::from(weight)), "{counts:?}");
    }

    #[test]
    fn whatever_changes_somebody_eligible_and_usable_is_picked_if_there_is_one(
        algorithm in any_algorithm(),
        rounds in prop::collection::vec(
            (prop::collection::vec((0..=100_u8, any::<bool>(), any::<bool>()), 0..10), 0..30_usize),
            1..20,
        ),
    ) {
        let mut balancer = Balancer::new(algorithm, 3);
        for (targets, picks) in rounds {
            let candidates: Vec<_> =
                targets.iter().map(|&(weight, healthy, _)| candidate(weight, healthy)).collect();
            balancer.refresh(&candidates, WhenNoneHealthy::Refuse);
            let allowed = |target: usize| targets[target].0 > 0 && targets[target].1 && targets[target].2;
            let anybody = (0..targets.len()).any(allowed);
            for _ in 0..picks {
                let picked = balancer.pick(|target| u32::from(targets[target].0 / 7), |target| targets[target].2);
                prop_assert_eq!(picked.is_some(), anybody);
                prop_assert!(picked.is_none_or(allowed));
            }
        }
    }

    #[test]
    fn a_pick_that_finds_nobody_changes_nothing(weights in any_weights(), before in 0..200_usize) {
        let mut asked = round_robin(&weights);
        let mut undisturbed = round_robin(&weights);
        take(&mut asked, before);
        take(&mut undisturbed, before);
        prop_assert_eq!(asked.pick(|_| 0, |_| false), None);
        prop_assert_eq!(take(&mut asked, 100), take(&mut undisturbed, 100));
    }

    #[test]
    fn counting_from_zero_changes_nothing_and_no_pick_needs_memory(weights in any_weights(), before in 0..200_usize) {
        let (Picker::RoundRobin(mut picker), Picker::RoundRobin(mut undisturbed)) =
            (round_robin(&weights).first_choice.picker, round_robin(&weights).first_choice.picker)
        else {
            unreachable!("made for weighted round robin")
        };
        let capacities = picker.capacities();
        for pick in 0..2 * sum(&weights) {
            if pick == before {
                picker.count_from_zero();
            }
            prop_assert_eq!(picker.pick(|_| true), undisturbed.pick(|_| true));
            picker.pick(|_| false);
        }
        prop_assert_eq!(picker.capacities(), capacities);
    }

    #[test]
    fn r_b1_least_connections_picks_a_minimum_of_connections_by_weight(
        targets in prop::collection::vec((1..=100_u8, 0..50_u32, any::<bool>()), 1..50),
        before in 0..100_usize,
    ) {
        let weights: Vec<u8> = targets.iter().map(|target| target.0).collect();
        let mut balancer = balancer(Algorithm::LeastConnections, &healthy(&weights));
        take(&mut balancer, before);
        let by_weight = |target: usize| f64::from(targets[target].1) / f64::from(targets[target].0);
        let least = (0..targets.len()).filter(|&target| targets[target].2).map(by_weight).reduce(f64::min);
        let picked = balancer.pick(|target| targets[target].1, |target| targets[target].2);
        prop_assert_eq!(picked.map(by_weight), least);
        prop_assert!(picked.is_none_or(|target| targets[target].2));
    }

    #[test]
    fn a_peek_says_whom_the_next_pick_takes_and_changes_nothing(
        targets in prop::collection::vec((0..=100_u8, 0..9_u32, any::<bool>(), any::<bool>(), any::<bool>()), 1..30),
        algorithm in any_algorithm(),
        before in 0..200_usize,
    ) {
        let candidate = |target: &(u8, u32, bool, bool, bool)| {
            let zone = if target.4 { Zone::Own } else { Zone::Other };
            Candidate { weight: target.0, healthy: target.2, zone }
        };
        let candidates: Vec<Candidate> = targets.iter().map(candidate).collect();
        let mut balancer = balancer(algorithm, &candidates);
        let mut undisturbed = balancer.clone();
        for round in 0..before {
            let usable = |target: usize| targets[target].3 || round % 3 > 0;
            let load = |target: usize| targets[target].1;
            let seen = balancer.peek(load, usable);
            prop_assert_eq!(seen, balancer.peek(load, usable));
            let picked = balancer.pick(load, usable);
            prop_assert_eq!((seen, picked), (undisturbed.pick(load, usable), seen));
        }
    }

    #[test]
    fn r_b1_least_connections_fills_targets_by_weight_when_connections_stay(weights in any_weights()) {
        let mut balancer = balancer(Algorithm::LeastConnections, &healthy(&weights));
        let mut loads = vec![0_u32; weights.len()];
        for _ in 0..sum(&weights) {
            let target = balancer.pick(|target| loads[target], |_| true).expect("all are usable");
            loads[target] += 1;
        }
        prop_assert!(loads.iter().zip(&weights).all(|(&load, &weight)| load == u32::from(weight)), "{loads:?}");
    }
}
