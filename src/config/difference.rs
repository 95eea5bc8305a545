//! What a new snapshot changes, a line each, for whoever looks at the revisions.
//!
//!     target group "app": target 10.0.0.5:80: weight 10 -> 0
//!     listener "web": added (http 10.1.0.1:80)

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::limits;
use super::snapshot::{Listener, Snapshot, Target, TargetGroup};

/// What `new` has otherwise than `old`: names and what an operator changes most, the rest as `changed`. A long list is cut, and
/// says so.
#[must_use]
pub fn difference(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, changed) in [
        ("[balancer]", old.balancer != new.balancer),
        ("[access_log]", old.access_log != new.access_log),
        ("certificate_file of [admin]", old.admin.certificate != new.admin.certificate),
        ("secret_file", old.cookie_keys != new.cookie_keys),
        ("webhook_key_file", old.webhook_keys != new.webhook_keys),
    ] {
        if changed {
            lines.push(format!("{name}: changed"));
        }
    }
    machines(old, new, &mut lines);
    listeners(old, new, &mut lines);
    groups(old, new, &mut lines);
    if lines.len() > limits::DIFFERENCES_SHOWN_MAX {
        let more = lines.len() - limits::DIFFERENCES_SHOWN_MAX;
        lines.truncate(limits::DIFFERENCES_SHOWN_MAX);
        lines.push(format!("and {more} more"));
    }
    lines
}

fn machines(old: &Snapshot, new: &Snapshot, lines: &mut Vec<String>) {
    if Arc::ptr_eq(&old.inventory, &new.inventory) {
        return;
    }
    let (before, after) = (&old.inventory, &new.inventory);
    let gone = before.iter().map(|record| record.which()).filter(|which| after.get(which).is_none());
    lines.extend(gone.map(|which| format!("{which}: removed")));
    for record in after.iter() {
        let which = record.which();
        match before.get(&which) {
            None => lines.push(format!("{which}: added")),
            Some(known) if known != record => lines.push(format!("{which}: changed")),
            Some(_) => {}
        }
    }
}

fn listeners(old: &Snapshot, new: &Snapshot, lines: &mut Vec<String>) {
    let before: HashMap<&str, &Arc<Listener>> =
        old.listeners.iter().map(|listener| (&*listener.name, listener)).collect();
    let after: HashMap<&str, &Arc<Listener>> =
        new.listeners.iter().map(|listener| (&*listener.name, listener)).collect();
    for listener in &old.listeners {
        if !after.contains_key(&*listener.name) {
            lines.push(format!("listener {:?}: removed", &*listener.name));
        }
    }
    for listener in &new.listeners {
        let name = &*listener.name;
        match before.get(name) {
            None => {
                lines.push(format!("listener {name:?}: added ({} {})", listener.protocol.as_str(), listener.address));
            }
            Some(known) if known.address != listener.address => {
                lines.push(format!("listener {name:?}: address {} -> {}", known.address, listener.address));
            }
            // Its groups by index: the same number may be another group, and that is a change too.
            Some(known) if known != &listener || names(old, known) != names(new, listener) => {
                lines.push(format!("listener {name:?}: changed"));
            }
            Some(_) => {}
        }
    }
}

fn names<'s>(snapshot: &'s Snapshot, listener: &Listener) -> Vec<&'s str> {
    snapshot.groups_of(listener).into_iter().map(|group| &*group.name).collect()
}

fn groups(old: &Snapshot, new: &Snapshot, lines: &mut Vec<String>) {
    let before: HashMap<&str, &Arc<TargetGroup>> = old.groups.iter().map(|group| (&*group.name, group)).collect();
    let after: HashMap<&str, &Arc<TargetGroup>> = new.groups.iter().map(|group| (&*group.name, group)).collect();
    for group in &old.groups {
        if !after.contains_key(&*group.name) {
            lines.push(format!("target group {:?}: removed", &*group.name));
        }
    }
    for group in &new.groups {
        let name = &*group.name;
        let Some(known) = before.get(name) else {
            lines.push(format!("target group {name:?}: added ({} targets)", group.targets.len()));
            continue;
        };
        if Arc::ptr_eq(known, group) {
            continue;
        }
        targets(name, known, group, lines);
        let same_targets = TargetGroup { targets: known.targets.clone(), ..TargetGroup::clone(group) };
        if same_targets != ***known {
            lines.push(format!("target group {name:?}: changed"));
        }
    }
}

fn targets(group: &str, old: &TargetGroup, new: &TargetGroup, lines: &mut Vec<String>) {
    let before: HashMap<SocketAddr, &Target> = old.targets.iter().map(|target| (target.address, target)).collect();
    let after: HashMap<SocketAddr, &Target> = new.targets.iter().map(|target| (target.address, target)).collect();
    for target in &old.targets {
        if !after.contains_key(&target.address) {
            lines.push(format!("target group {group:?}: target {}: removed", target.label));
        }
    }
    for target in &new.targets {
        let label = &*target.label;
        match before.get(&target.address) {
            None => lines.push(format!("target group {group:?}: target {label}: added, weight {}", target.weight)),
            Some(known) if known.weight != target.weight => {
                lines.push(format!(
                    "target group {group:?}: target {label}: weight {} -> {}",
                    known.weight, target.weight
                ));
            }
            Some(known) if known != &target => lines.push(format!("target group {group:?}: target {label}: changed")),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Mode, parse};

    fn snapshot(listener: &str, targets: &[(u8, u8)]) -> Snapshot {
        let targets: Vec<String> = targets
            .iter()
            .map(|(last, weight)| format!("{{address='10.0.0.{last}',port=80,weight={weight}}}"))
            .collect();
        let text = format!(
            "[[listener]]\nname='{listener}'\nprotocol='tcp'\naddress='10.1.0.1:80'\ndefault_action={{forward='app'}}\n\
             [[target_group]]\nname='app'\nprotocol='tcp'\ntarget=[{}]\n",
            targets.join(",")
        );
        parse("t", &text, Mode::Run).unwrap()
    }

    #[test]
    fn each_thing_that_changed_is_a_line() {
        let old = snapshot("web", &[(5, 10), (6, 10), (7, 10)]);
        assert!(difference(&old, &old.clone()).is_empty());
        let expected = [
            "listener \"web\": removed",
            "listener \"www\": added (tcp 10.1.0.1:80)",
            "target group \"app\": target 10.0.0.5:80: removed",
            "target group \"app\": target 10.0.0.6:80: weight 10 -> 0",
            "target group \"app\": target 10.0.0.8:80: added, weight 1",
        ];
        assert_eq!(difference(&old, &snapshot("www", &[(6, 0), (7, 10), (8, 1)])), expected);
        let empty = parse("t", "", Mode::Run).unwrap();
        assert_eq!(difference(&old, &empty), ["listener \"web\": removed", "target group \"app\": removed"]);
        assert_eq!(difference(&empty, &old)[1], "target group \"app\": added (3 targets)");
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let weights = |weight| (1..=250).map(|last| (last, weight)).collect::<Vec<_>>();
        let lines = difference(&snapshot("web", &weights(1)), &snapshot("web", &weights(2)));
        assert_eq!(lines.len(), limits::DIFFERENCES_SHOWN_MAX + 1);
        assert_eq!(lines.last().unwrap(), "and 150 more");
    }
}
