//! From what is desired to what is in effect: bind, keep, hand over.

use std::collections::HashSet;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::SystemTime;

use super::Cause;
use super::error::{KeptError, NotApplied};
use super::ledger::{Desired, Ledger};
use crate::config::{self, Over, Snapshot};
use crate::control::state::{Control, Revision, START};
use crate::control::store::{Saved, Store};
use crate::control::{bind, shards};

/// Binds, keeps, hands over; the ledger follows once it is kept. What changes nothing is no revision, unless an answer is to be
/// kept with it.
pub(super) async fn bring_into_effect(
    control: &Control,
    ledger: &mut Ledger,
    (mut desired, over): (Desired, Over),
    cause: Cause,
) -> Result<u64, NotApplied> {
    let old = Arc::clone(&control.state().snapshot);
    let Over { snapshot, waiting, door } = over;
    desired.kept.door = snapshot.door;
    let is_start = matches!(cause, Cause::Start);
    let same = |snapshot: &Snapshot| Snapshot { revision: old.revision, ..snapshot.clone() } == *old;
    if !is_start && desired.kept == ledger.desired.kept && same(&snapshot) {
        let was_read_again = !Arc::ptr_eq(&desired.text, &ledger.desired.text);
        // What the file says may be another, be it that nothing of it shows: a weight that the API changed.
        ledger.desired = desired;
        // What the kernel refused a shard is tried again with each reload.
        return if was_read_again || !ledger.missing.is_empty() {
            hand_over_again(control, ledger).await
        } else {
            Ok(old.revision)
        };
    }
    let new = Arc::new(Snapshot { revision: old.revision + 1, ..snapshot });
    let cores: Vec<usize> = control.shards.iter().map(|shard| shard.core).collect();
    let sockets = bind::bind(&bind::added(&old, &new), &cores).map_err(NotApplied::Bind)?;
    bind::warn_of_long_groups(&old, &new);
    // A log is there before the shards know of it, and goes when they no longer do.
    if new.access_log.is_some() {
        control.given.access_log.apply(new.access_log.as_ref()).map_err(NotApplied::AccessLog)?;
    }
    let revision = revision_of(&old, &new, cause);
    if let Err(error) = keep(ledger, &desired, &revision).await {
        let is_kept_already = is_start || desired.kept == ledger.desired.kept;
        if !is_kept_already {
            restore_access_log(control, &old);
            return Err(NotApplied::Store(error));
        }
        // A disk that is full or read-only keeps no file from being served. The revision's number is given again by the next
        // process that cannot see this one.
        tracing::error!("{error}; the config is in effect, and the API can change nothing until that is mended");
    }
    (ledger.desired, ledger.waiting, ledger.is_astray) = (desired, waiting, door.is_err());
    ledger.missing = shards::apply(&control.shards, &new, control.connections_max(&new), sockets).await;
    if new.access_log.is_none() {
        restore_access_log(control, &new);
    }
    warn_of_what_is_new(&old, &new);
    let applied_at = revision.applied_at;
    let mut state = control.state();
    state.took_effect(&new, revision);
    if !ledger.missing.is_empty() {
        return Err(NotApplied::Unconfirmed { revision: new.revision, shards: ledger.missing.clone() });
    }
    state.reloads.last_success = Some(applied_at);
    Ok(new.revision)
}

/// Hands over what is in effect, for shards that have not confirmed it.
pub(super) async fn hand_over_again(control: &Control, ledger: &mut Ledger) -> Result<u64, NotApplied> {
    let now = Arc::clone(&control.state().snapshot);
    let cores: Vec<usize> = control.shards.iter().map(|shard| shard.core).collect();
    let sockets = bind::bind(&[], &cores).map_err(NotApplied::Bind)?;
    ledger.missing = shards::apply(&control.shards, &now, control.connections_max(&now), sockets).await;
    if !ledger.missing.is_empty() {
        return Err(NotApplied::Unconfirmed { revision: now.revision, shards: ledger.missing.clone() });
    }
    control.state().reloads.last_success = Some(SystemTime::now());
    Ok(now.revision)
}

fn revision_of(old: &Snapshot, new: &Snapshot, cause: Cause) -> Revision {
    let (who, note) = match cause {
        Cause::Start => (START.to_owned(), None),
        Cause::Asked { who, note } => (who, note),
    };
    let mut what: Vec<String> = note.into_iter().chain(config::difference(old, new)).collect();
    if what.is_empty() {
        what.push("nothing: it was so already".to_owned());
    }
    Revision { number: new.revision, applied_at: SystemTime::now(), who, what }
}

/// On a thread that may wait for the disk.
async fn keep(ledger: &mut Ledger, desired: &Desired, revision: &Revision) -> Result<(), KeptError> {
    let Some(mut store) = ledger.store.take() else {
        return if desired.base.state_dir.is_some() { Err(KeptError::Gone) } else { Ok(()) };
    };
    // Of starts one after the other the last is enough: what the API changed is not to be pushed out by them.
    let last = store.revision_newest();
    let before = last.filter(|last| last.who == START && revision.who == START).map(|last| last.revision);
    let body = match serde_json::to_vec(&desired.kept) {
        Ok(body) => body,
        Err(error) => {
            ledger.store = Some(store);
            return Err(KeptError::NoText(error));
        }
    };
    let saved = Saved {
        revision: revision.number,
        at: revision.applied_at,
        who: revision.who.clone(),
        what: revision.what.join("\n"),
        body,
    };
    let written = tokio::task::spawn_blocking(move || {
        let result = store.save(&saved);
        if let (Ok(()), Some(before)) = (&result, before) {
            store.forget(before);
        }
        (store, result)
    });
    let (store, result): (Store, _) = written.await.map_err(|_| KeptError::Gone)?;
    ledger.store = Some(store);
    Ok(result?)
}

/// What is in effect otherwise than the operator may think.
fn warn_of_what_is_new(old: &Snapshot, new: &Snapshot) {
    let known: HashSet<&String> = old.left_out.iter().collect();
    for line in new.left_out.iter().filter(|line| !known.contains(line)) {
        tracing::warn!("left out: {line}");
    }
    for line in new.warnings.iter().filter(|line| !old.warnings.contains(line)) {
        tracing::warn!("{line}");
    }
    let known = &old.balancer.snat_addresses;
    for source in new.balancer.snat_addresses.iter().filter(|source| !known.contains(source)) {
        if let Err(error) = UdpSocket::bind((*source, 0)) {
            tracing::warn!("nothing can leave from {source} of snat_addresses: {error}; {}", bind::mend(&error, 0));
        }
    }
}

fn restore_access_log(control: &Control, snapshot: &Snapshot) {
    if let Err(error) = control.given.access_log.apply(snapshot.access_log.as_ref()) {
        tracing::error!("{error}");
    }
}
