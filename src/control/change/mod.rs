//! One change at a time: from a file or a request to a revision that is kept and in effect.
//!
//! ```text
//!     reload: file --> base --.
//!     API: Change --> Changes-+--> Snapshot --bind--> store (synced) --> every shard --> revision
//!                                      `-- refused, cannot be bound, cannot be kept: nothing changed
//! ```
//!
//! The ledger is what is desired and where it is kept; whoever holds it is the only one who changes anything. A revision is
//! kept before a shard hears of it, so that no change that was answered is lost with the process (requirement K4).
//! Always: what is in effect, the ledger and the store are of the same revision, or the process says that they are not.

mod error;

use std::collections::VecDeque;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

pub use error::KeptError;
pub(in crate::control) use error::{ChangeError, NotApplied, NotReloaded};

use super::error::StartError;
use super::run::Source;
use super::state::{Control, Phase, Revision};
use super::store::{Saved, Store};
use super::{bind, shards};
use crate::config::{self, Change, Changes, Known, Snapshot};
use crate::inventory::Door;

/// Answers to requests with an `Idempotency-Key` that are kept: of so many requests.
const ANSWERS_KEPT: usize = 1000;

/// What is desired, and where it is kept.
#[derive(Debug)]
pub(in crate::control) struct Ledger {
    /// What the file says.
    base: Arc<Snapshot>,
    kept: Kept,
    store: Option<Store>,
}

/// What the store keeps: it outlives the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Kept {
    changes: Changes,
    /// The side of the one-way door of `cross_region` that the balancer is on (requirement G6).
    door: Door,
    /// The oldest first.
    answered: VecDeque<Answered>,
}

/// A request that was answered, by its `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    key: String,
    /// Of what it asked for.
    digest: String,
    revision: u64,
}

/// A request of the API.
#[derive(Debug)]
pub(in crate::control) struct Asked {
    /// Who asks: the client's address.
    pub(in crate::control) who: String,
    pub(in crate::control) what: Wanted,
    /// `If-Match`: the revision that the client has seen.
    pub(in crate::control) if_revision: Option<u64>,
    /// `Idempotency-Key`, and a digest of the request that it came with.
    pub(in crate::control) key: Option<(String, String)>,
}

/// What a request of the API wants.
#[derive(Debug)]
pub(in crate::control) enum Wanted {
    Change(Change),
    /// What the API had changed as of a revision.
    Restore(u64),
}

/// Where a revision comes from.
#[derive(Debug)]
enum Cause {
    Start,
    Reload,
    Api { who: String, restored: Option<u64> },
}

impl Cause {
    fn who(&self) -> String {
        match self {
            Cause::Start => "start".to_owned(),
            Cause::Reload => "reload".to_owned(),
            Cause::Api { who, .. } => who.clone(),
        }
    }
}

impl Kept {
    /// What the file is read beside.
    fn known(&self) -> Known {
        Known { door: self.door, ..Known::default() }
    }
}

impl Ledger {
    /// The ledger of what the file says, with what an earlier process kept. Gives the revision that it had come to, too.
    ///
    /// # Errors
    /// The store does not open, or what was kept is not what this version of weir keeps.
    pub(in crate::control) fn open(base: Snapshot, source: &Source) -> Result<(Self, u64), StartError> {
        let Some(folder) = base.state_dir.clone() else {
            return Ok((Ledger { base: Arc::new(base), kept: Kept::default(), store: None }, 0));
        };
        let (store, opened) = Store::open(&folder).map_err(KeptError::from)?;
        for warning in &opened.warnings {
            tracing::warn!("{warning}");
        }
        let kept = opened.current.as_ref().map(kept_of).transpose()?.unwrap_or_default();
        // Whether targets may be where the file has them depends on where they were.
        let base = if kept.door == Door::default() { base } else { source.load(&kept.known())? };
        let revision = store.revision_last();
        Ok((Ledger { base: Arc::new(base), kept, store: Some(store) }, revision))
    }

    /// The snapshot that is desired.
    pub(in crate::control) fn snapshot(&self) -> Snapshot {
        self.kept.changes.over(&self.base)
    }

    /// Those that are kept, the oldest first.
    pub(in crate::control) fn revisions(&self) -> VecDeque<Revision> {
        let kept = self.store.iter().flat_map(Store::revisions);
        let revisions = kept.map(|meta| Revision {
            number: meta.revision,
            applied_at: meta.at,
            who: meta.who,
            what: meta.what.lines().map(str::to_owned).collect(),
        });
        revisions.collect()
    }

    /// Says what was changed and has no place in the file any more.
    fn warn_of_waiting(&self) {
        for group in self.kept.changes.waiting(&self.base) {
            tracing::warn!(
                group,
                "the API changed this target group, and the config has none of that name with managed = \"api\": its targets \
                 are kept and wait for it"
            );
        }
    }
}

fn kept_of(saved: &Saved) -> Result<Kept, KeptError> {
    serde_json::from_slice(&saved.body).map_err(|error| KeptError::Foreign { revision: saved.revision, error })
}

/// Brings what the start read into effect.
pub(in crate::control) async fn start(control: &Control) -> Result<u64, NotApplied> {
    let mut ledger = control.ledger.lock().await;
    ledger.warn_of_waiting();
    let kept = ledger.kept.clone();
    bring_into_effect(control, &mut ledger, kept, Cause::Start).await
}

/// Reads the file again, and brings what it says now and what the API changed into effect. Gives the revision.
pub(in crate::control) async fn reload(control: &Control) -> Result<u64, NotReloaded> {
    let result = try_reload(control).await;
    control.state().reloads.count(result.is_ok());
    result
}

async fn try_reload(control: &Control) -> Result<u64, NotReloaded> {
    // Held while the file is read, too: of two reloads the later one has the later file.
    let mut ledger = control.ledger.lock().await;
    if control.state().phase != Phase::Serving {
        return Err(NotReloaded::NotServing);
    }
    let source = control.given.source.clone();
    let known = ledger.kept.known();
    // A large file takes a while; requests and signals go on.
    let read = tokio::task::spawn_blocking(move || source.load(&known)).await;
    let base = read.map_err(|error| NotReloaded::NotRead(error.to_string()))?.map_err(NotReloaded::Config)?;
    let base = keep_what_is_read_at_start(control, base);
    rebase(control, &mut ledger, base).await.map_err(NotReloaded::NotApplied)
}

/// Makes what the file says now the base, if that can be brought into effect.
async fn rebase(control: &Control, ledger: &mut Ledger, base: Snapshot) -> Result<u64, NotApplied> {
    let before = std::mem::replace(&mut ledger.base, Arc::new(base));
    let kept = ledger.kept.clone();
    let result = bring_into_effect(control, ledger, kept, Cause::Reload).await;
    match &result {
        Ok(_) | Err(NotApplied::Unconfirmed { .. }) => ledger.warn_of_waiting(),
        Err(_) => ledger.base = before,
    }
    result
}

/// As `reload`, of a file that says this.
#[cfg(test)]
pub(in crate::control) async fn reload_as(control: &Control, base: Snapshot) -> Result<u64, NotApplied> {
    rebase(control, &mut *control.ledger.lock().await, base).await
}

#[cfg(test)]
impl Ledger {
    /// One that nothing keeps.
    pub(in crate::control) fn of(base: &Snapshot) -> Self {
        Ledger { base: Arc::new(base.clone()), kept: Kept::default(), store: None }
    }
}

/// `[shards]`, `[admin]` and `state_dir` stay as they were at start, and a snapshot says what is, not what is wished for.
fn keep_what_is_read_at_start(control: &Control, new: Snapshot) -> Snapshot {
    let old = Arc::clone(&control.state().snapshot);
    for (what, changed) in [
        ("[shards]", new.cores != old.cores),
        ("[admin]", new.admin != old.admin),
        ("state_dir of [balancer]", new.state_dir != old.state_dir),
    ] {
        if changed {
            tracing::warn!("{what} changed and is read at start only: restart weir to apply it");
        }
    }
    Snapshot { cores: old.cores.clone(), admin: old.admin.clone(), state_dir: old.state_dir.clone(), ..new }
        .sharing_with(&old)
}

/// Makes a change of the API. Gives the revision that has it.
pub(in crate::control) async fn make(control: &Control, asked: Asked) -> Result<u64, ChangeError> {
    let mut ledger = control.ledger.lock().await;
    if control.state().phase != Phase::Serving {
        return Err(ChangeError::NotServing);
    }
    if let Some((key, digest)) = &asked.key
        && let Some(answered) = ledger.kept.answered.iter().find(|answered| answered.key == *key)
    {
        // The same again: its first answer was lost on the way.
        return if answered.digest == *digest {
            Ok(answered.revision)
        } else {
            Err(ChangeError::KeyTaken(answered.revision))
        };
    }
    let now = control.state().snapshot.revision;
    if let Some(expected) = asked.if_revision.filter(|expected| *expected != now) {
        return Err(ChangeError::OtherRevision { now, expected });
    }
    let Some(store) = &ledger.store else { return Err(ChangeError::NothingKeeps) };
    let changes = match &asked.what {
        Wanted::Change(change) => {
            ledger.kept.changes.apply(&ledger.base, change, SystemTime::now()).map_err(ChangeError::Refused)?
        }
        Wanted::Restore(revision) => {
            let saved = store.load(*revision).map_err(|_| ChangeError::NoRevision(*revision))?;
            kept_of(&saved).map_err(|error| ChangeError::NotApplied(NotApplied::Store(error)))?.changes
        }
    };
    if changes == ledger.kept.changes {
        // As it is already: no revision for nothing, so nothing for a key to be kept with.
        return Ok(now);
    }
    let mut kept = Kept { changes, ..ledger.kept.clone() };
    if let Some((key, digest)) = asked.key {
        if kept.answered.len() == ANSWERS_KEPT {
            kept.answered.pop_front();
        }
        kept.answered.push_back(Answered { key, digest, revision: now + 1 });
    }
    let restored = if let Wanted::Restore(revision) = asked.what { Some(revision) } else { None };
    let cause = Cause::Api { who: asked.who, restored };
    bring_into_effect(control, &mut ledger, kept, cause).await.map_err(ChangeError::NotApplied)
}

/// Binds, keeps, hands over; the ledger follows once it is kept.
async fn bring_into_effect(
    control: &Control,
    ledger: &mut Ledger,
    mut kept: Kept,
    cause: Cause,
) -> Result<u64, NotApplied> {
    let old = Arc::clone(&control.state().snapshot);
    let new = Arc::new(Snapshot { revision: old.revision + 1, ..kept.changes.over(&ledger.base) });
    kept.door = new.door;
    let body = serde_json::to_vec(&kept).map_err(|error| NotApplied::Store(KeptError::NoText(error)))?;
    let cores: Vec<usize> = control.shards.iter().map(|shard| shard.core).collect();
    let sockets = bind::bind(&bind::added(&old, &new), &cores).map_err(NotApplied::Bind)?;
    bind::warn_of_long_groups(&old, &new);
    // A log is there before the shards know of it, and goes when they no longer do.
    if new.access_log.is_some() {
        control.given.access_log.apply(new.access_log.as_ref()).map_err(NotApplied::AccessLog)?;
    }
    let now = SystemTime::now();
    let mut what = config::difference(&old, &new);
    if let Cause::Api { restored: Some(revision), .. } = cause {
        what.insert(0, format!("restored what the API had changed as of revision {revision}"));
    }
    let revision = Revision { number: new.revision, applied_at: now, who: cause.who(), what };
    if let Some(store) = ledger.store.take() {
        let saved =
            Saved { revision: new.revision, at: now, who: revision.who.clone(), what: revision.what.join("\n"), body };
        if let Err(error) = save(ledger, store, saved).await {
            restore_access_log(control, &old);
            return Err(NotApplied::Store(error));
        }
    }
    ledger.kept = kept;
    let missing = shards::apply(&control.shards, &new, control.connections_max(&new), sockets).await;
    if new.access_log.is_none() {
        restore_access_log(control, &new);
    }
    warn_of_what_is_new(&old, &new);
    let mut state = control.state();
    state.took_effect(&new, revision);
    if !missing.is_empty() {
        return Err(NotApplied::Unconfirmed { revision: new.revision, shards: missing });
    }
    state.reloads.last_success = Some(now);
    Ok(new.revision)
}

/// On a thread that may wait for the disk.
async fn save(ledger: &mut Ledger, mut store: Store, saved: Saved) -> Result<(), KeptError> {
    let written = tokio::task::spawn_blocking(move || {
        let result = store.save(&saved);
        (store, result)
    });
    let (store, result) = written.await.map_err(|_| KeptError::Gone)?;
    ledger.store = Some(store);
    Ok(result?)
}

/// What is in effect otherwise than the operator may think.
fn warn_of_what_is_new(old: &Snapshot, new: &Snapshot) {
    for line in new.left_out.iter().filter(|line| !old.left_out.contains(line)) {
        tracing::warn!("left out: {line}");
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
