//! What this host gives us: cores to run shards on, descriptors to hold connections.

use std::collections::BTreeSet;

use crate::config::{Cores, Snapshot};

/// Descriptors kept for what is no connection, whatever the config says: admin clients, logs, rings, event descriptors.
const RESERVE_BASE: u64 = 128;
/// The reserve takes this part of the limit at most, so that a small limit still serves connections.
const RESERVE_PART: u64 = 4;

/// The cores that this process may run on, in ascending order.
#[must_use]
pub fn allowed_cores() -> Vec<usize> {
    let cores: BTreeSet<usize> = core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    cores.into_iter().collect()
}

/// The core of each shard.
///
/// # Errors
/// More cores than there are, or one that is not `allowed`: what to write instead.
pub(super) fn resolve_cores(wanted: &Cores, allowed: &[usize]) -> Result<Vec<usize>, String> {
    if allowed.is_empty() {
        return Err("the kernel does not say which cores this process may use; look at /proc/self/status".to_owned());
    }
    match wanted {
        Cores::All => Ok(allowed.to_vec()),
        Cores::Count(count) if *count <= allowed.len() => Ok(allowed[..*count].to_vec()),
        Cores::Count(count) => Err(format!(
            "[shards] cores = {count}: this process may use {} only ({}); choose at most {}",
            amount(allowed.len()),
            ranges(allowed),
            allowed.len()
        )),
        Cores::List(list) => {
            let missing: Vec<usize> = list.iter().copied().filter(|core| !allowed.contains(core)).collect();
            if missing.is_empty() {
                return Ok(list.clone());
            }
            Err(format!(
                "[shards] cores: {} does not exist or this process may not use it; choose from {} (see taskset -p and \
                 CPUAffinity= of the unit)",
                ranges(&missing),
                ranges(allowed)
            ))
        }
    }
}

fn amount(cores: usize) -> String {
    if cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") }
}

/// Core numbers for people to read: `0-3, 7`.
#[must_use]
pub fn ranges(cores: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for core in cores {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *core => *last = *core,
            _ => runs.push((*core, *core)),
        }
    }
    let print =
        |(first, last): &(usize, usize)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    runs.iter().map(print).collect::<Vec<_>>().join(", ")
}

/// How many connections one shard may hold: two descriptors each, after a reserve for everything else. Each shard may have
/// a check of every target open, and a socket of every listener.
pub(super) fn connections_max(descriptors_max: u64, shards: usize, snapshot: &Snapshot) -> usize {
    let shards = shards.max(1) as u64;
    let targets: usize = snapshot.groups.iter().map(|group| group.targets.len()).sum();
    let others = shards * (targets + snapshot.listeners.len()) as u64;
    let reserve = (RESERVE_BASE + others).min(descriptors_max / RESERVE_PART);
    usize::try_from((descriptors_max - reserve) / 2 / shards).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Mode, parse};

    #[test]
    fn all_cores_are_those_that_are_allowed() {
        assert_eq!(resolve_cores(&Cores::All, &[2, 3, 7]), Ok(vec![2, 3, 7]));
    }

    #[test]
    fn a_count_takes_the_first_cores_and_no_more_than_there_are() {
        assert_eq!(resolve_cores(&Cores::Count(2), &[2, 3, 7]), Ok(vec![2, 3]));
        assert_eq!(resolve_cores(&Cores::Count(3), &[2, 3, 7]), Ok(vec![2, 3, 7]));
        let error = resolve_cores(&Cores::Count(4), &[2, 3, 7]).unwrap_err();
        assert!(error.contains("cores = 4") && error.contains("2-3, 7") && error.contains("at most 3"), "{error}");
    }

    #[test]
    fn a_list_keeps_its_order_and_names_what_is_missing() {
        assert_eq!(resolve_cores(&Cores::List(vec![7, 2]), &[2, 3, 7]), Ok(vec![7, 2]));
        let error = resolve_cores(&Cores::List(vec![2, 4, 5, 9]), &[2, 3, 7]).unwrap_err();
        assert!(error.contains("4-5, 9 does not exist"), "{error}");
        assert!(error.contains("choose from 2-3, 7"), "{error}");
    }

    #[test]
    fn no_core_at_all_is_an_error() {
        assert!(resolve_cores(&Cores::All, &[]).is_err());
    }

    #[test]
    fn connections_get_half_of_the_descriptors_that_are_left() {
        let empty = parse("t", "", Mode::Run).unwrap();
        assert_eq!(connections_max(20_000, 1, &empty), (20_000 - 128) / 2);
        assert_eq!(connections_max(20_000, 4, &empty), (20_000 - 128) / 2 / 4);
        assert_eq!(connections_max(256, 1, &empty), (256 - 64) / 2, "the reserve takes a quarter at most");
        assert_eq!(connections_max(0, 1, &empty), 0);
    }

    #[test]
    fn targets_and_listeners_enlarge_the_reserve_once_a_shard() {
        let text = "[[listener]]\nname='l'\nprotocol='tcp'\naddress='127.0.0.1:80'\ndefault_action={forward='g'}\n\
                    [[target_group]]\nname='g'\nprotocol='tcp'\ntarget=[{address='10.0.0.1',port=1},{address='10.0.0.2',port=1}]\n";
        let snapshot = parse("t", text, Mode::Run).unwrap();
        assert_eq!(connections_max(20_000, 2, &snapshot), (20_000 - 128 - 2 * 3) / 2 / 2);
    }
}
