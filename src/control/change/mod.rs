//! One change at a time: from a file or a request to a revision that is kept and in effect.
//!
//! ```text
//!     reload: file --> Text --> base --.
//!     API: Change --> Changes ---------+--over--> Snapshot --bind--> store (synced) --> every shard --> revision
//!                                           `-- refused, cannot be bound, cannot be kept: nothing changed
//! ```
//!
//! The ledger is what is desired and where it is kept (ledger.rs); whoever holds it is the only one who changes anything. A
//! revision is kept before a shard hears of it (effect.rs), so that no change that was answered is lost with the process
//! (requirement K4).
//! Always: what is in effect, the ledger and the store are of the same revision, or the process says that they are not.

mod effect;
mod error;
mod ledger;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

pub use error::KeptError;
pub(in crate::control) use error::{ChangeError, NotApplied};
pub(in crate::control) use ledger::Ledger;
pub use ledger::{Beside, beside_what_is_kept};

use super::state::{Control, Phase};
use super::store::StoreError;
use crate::config::{Change, Errors, Over, Refused, RefusedCode, Snapshot, TargetsChange, may_join};
use effect::{bring_into_effect, hand_over_again};
use ledger::{Answered, Desired, Kept};

/// Who asks with a signal.
const SIGNAL: &str = "reload";

/// A request that changes something.
#[derive(Debug)]
pub(in crate::control) struct Asked {
    /// Who asks: the client's address, or `SIGNAL`.
    pub(in crate::control) who: String,
    pub(in crate::control) what: Wanted,
    /// `If-Match`: the revision that the client has seen.
    pub(in crate::control) if_revision: Option<u64>,
    /// `Idempotency-Key`, and a digest of the request that it came with.
    pub(in crate::control) key: Option<(String, String)>,
}

/// What a request wants.
#[derive(Debug)]
pub(in crate::control) enum Wanted {
    /// What the file says now.
    Reload,
    Change(Change),
    /// What the API had changed as of a revision.
    Restore(u64),
}

/// What a revision is for.
#[derive(Debug)]
pub(in crate::control) enum Cause {
    Start,
    Asked {
        who: String,
        /// A line before those of the difference.
        note: Option<String>,
    },
}

/// Brings what the start read into effect.
pub(in crate::control) async fn start(control: &Control) -> Result<u64, NotApplied> {
    let mut ledger = control.ledger.lock().await;
    let desired = ledger.desired.clone();
    desired.warn_of_waiting();
    // Whoever may not be bound any more waits, and is named in the log: the others are served.
    let over = desired.over();
    bring_into_effect(control, &mut ledger, (desired, over), Cause::Start).await
}

/// Reads the file again because of a signal. Gives the revision in effect.
pub(in crate::control) async fn reload(control: &Control) -> Result<u64, ChangeError> {
    make(control, Asked { who: SIGNAL.to_owned(), what: Wanted::Reload, if_revision: None, key: None }).await
}

/// Makes a change. Gives the revision that has it.
pub(in crate::control) async fn make(control: &Control, asked: Asked) -> Result<u64, ChangeError> {
    let is_reload = matches!(asked.what, Wanted::Reload);
    // Held while a file is read, too: of two reloads the later one has the later file.
    let mut ledger = control.ledger.lock().await;
    let began = Instant::now();
    let result = try_make(control, &mut ledger, asked).await;
    control.bounds.charge(began.elapsed());
    if is_reload {
        control.state().reloads.count(result.is_ok());
    }
    result
}

async fn try_make(control: &Control, ledger: &mut Ledger, asked: Asked) -> Result<u64, ChangeError> {
    if control.state().phase != Phase::Serving {
        return Err(ChangeError::NotServing);
    }
    if let Some((key, digest)) = &asked.key
        && let Some(answered) = ledger.desired.kept.answered.iter().find(|answered| answered.key == *key)
    {
        let revision = answered.revision;
        if answered.digest != *digest {
            return Err(ChangeError::KeyTaken(revision));
        }
        // The same again: its first answer was lost on the way, or came before every shard's.
        if !ledger.missing.is_empty() {
            hand_over_again(control, ledger).await.map_err(ChangeError::NotApplied)?;
        }
        return Ok(revision);
    }
    let now = control.state().snapshot.revision;
    if let Some(expected) = asked.if_revision.filter(|expected| *expected != now) {
        return Err(ChangeError::OtherRevision { now, expected });
    }
    let (mut desired, over) = draft(control, ledger, &asked.what).await?;
    may_take_effect(ledger, &over, &asked.what)?;
    if let Some((key, digest)) = asked.key {
        desired.kept.answer(Answered { key, digest, revision: now + 1 });
    }
    let note = match asked.what {
        Wanted::Restore(revision) => Some(format!("restored what the API had changed as of revision {revision}")),
        Wanted::Reload if asked.who != SIGNAL => Some("the config file was read again".to_owned()),
        Wanted::Reload | Wanted::Change(_) => None,
    };
    let is_reload = matches!(asked.what, Wanted::Reload);
    let cause = Cause::Asked { who: asked.who, note };
    let result = bring_into_effect(control, ledger, (desired, over), cause).await;
    if is_reload && matches!(result, Ok(_) | Err(NotApplied::Unconfirmed { .. })) {
        ledger.desired.warn_of_waiting();
    }
    result.map_err(ChangeError::NotApplied)
}

/// What would be desired with the change. Nothing has changed yet. Files and lists may be long: requests and signals go on.
async fn draft(control: &Control, ledger: &mut Ledger, what: &Wanted) -> Result<(Desired, Over), ChangeError> {
    let desired = ledger.desired.clone();
    let draft = match what {
        Wanted::Reload => {
            let read = ledger.read(control.given.source.clone()).await?;
            // It may have taken seconds: who drains by now binds nothing.
            if control.state().phase != Phase::Serving {
                return Err(ChangeError::NotServing);
            }
            keep_what_is_read_at_start(control, read)
        }
        Wanted::Change(change) => {
            ledger.keeps()?;
            let change = change.clone();
            let changed = on_another_thread(move || {
                let changes = desired.kept.changes.apply(&desired.base, &change, SystemTime::now());
                changes.map(|changes| desired.with(changes))
            });
            changed.await?.map_err(ChangeError::Refused)?.map_err(|errors| no_longer_holds(&errors))?
        }
        Wanted::Restore(revision) => {
            let saved = ledger.load(*revision).await?;
            let changes = Kept::of(&saved).map_err(ChangeError::Unreadable)?.changes;
            let before = Arc::clone(&desired.base);
            let restored = on_another_thread(move || desired.with(changes)).await?;
            let restored = restored.map_err(|errors| no_longer_holds(&errors))?;
            may_join(&before, &restored.base.inventory, SystemTime::now()).map_err(ChangeError::Refused)?;
            restored
        }
    };
    on_another_thread(move || {
        let over = draft.over();
        (draft, over)
    })
    .await
}

/// The config needs machines as they were.
fn no_longer_holds(errors: &Errors) -> ChangeError {
    ChangeError::Refused(Refused {
        code: RefusedCode::Conflict,
        message: format!("the config would not hold any more: {errors}"),
        hint: "change the config file first, and reload".to_owned(),
    })
}

async fn on_another_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ChangeError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ChangeError::NotRead(error.to_string()))
}

impl Ledger {
    /// Whether what the API changes is kept.
    fn keeps(&self) -> Result<(), ChangeError> {
        match (&self.store, &self.desired.base.state_dir) {
            (Some(_), _) => Ok(()),
            (None, Some(_)) => Err(ChangeError::NotApplied(NotApplied::Store(KeptError::Gone))),
            (None, None) => Err(ChangeError::NothingKeeps),
        }
    }

    async fn load(&mut self, revision: u64) -> Result<super::store::Saved, ChangeError> {
        self.keeps()?;
        let Some(store) = self.store.take() else { return Err(ChangeError::NothingKeeps) };
        let (store, loaded) = on_another_thread(move || {
            let loaded = store.load(revision);
            (store, loaded)
        })
        .await?;
        self.store = Some(store);
        loaded.map_err(|error| match error {
            StoreError::Unknown { .. } => ChangeError::NoRevision(revision),
            error => ChangeError::Unreadable(KeptError::Store(error)),
        })
    }
}

/// A reload and a restore take no target away from those that may be bound: that is a mistake of whoever asks, as it would be in
/// the file. Where machines change, they do: an interface that moves out of reach takes its target along.
fn may_take_effect(ledger: &Ledger, over: &Over, what: &Wanted) -> Result<(), ChangeError> {
    let conflict = |message: String, hint: &str| {
        let refused = Refused { code: RefusedCode::Conflict, message, hint: hint.to_owned() };
        Err(ChangeError::Refused(refused))
    };
    let leaves_only = match what {
        Wanted::Change(Change::Targets { change, .. }) => !matches!(change, TargetsChange::Register(_)),
        Wanted::Change(Change::Forget(_)) => true,
        Wanted::Change(Change::Put(_)) | Wanted::Reload | Wanted::Restore(_) => false,
    };
    if let Err(refusal) = &over.door
        && !leaves_only
        && !ledger.is_astray
    {
        return conflict(refusal.what.clone(), &refusal.mend);
    }
    let machines_change = matches!(what, Wanted::Change(Change::Put(_) | Change::Forget(_)));
    let waits_already: HashSet<_> = ledger.waiting.iter().map(|waiting| (&waiting.group, waiting.address)).collect();
    let newly = over.waiting.iter().find(|waiting| !waits_already.contains(&(&waiting.group, waiting.address)));
    match newly.filter(|_| !machines_change) {
        Some(waiting) => conflict(
            format!("target group {:?}: target {} of the API: {}", &*waiting.group, waiting.address, waiting.what),
            &format!("{}, or deregister it first", waiting.mend),
        ),
        None => Ok(()),
    }
}

/// `[shards]`, `[admin]` but for its certificate, and `state_dir` stay as they were at start.
fn keep_what_is_read_at_start(control: &Control, read: Desired) -> Desired {
    let old = Arc::clone(&control.state().snapshot);
    let new: &Snapshot = &read.base;
    for (what, changed) in [
        ("[shards]", new.cores != old.cores),
        ("[admin]", old.admin.renewed(&new.admin) != new.admin),
        ("state_dir of [balancer]", new.state_dir != old.state_dir),
    ] {
        if changed {
            tracing::warn!("{what} changed and is read at start only: restart weir to apply it");
        }
    }
    read.like_at_start(&old)
}

/// As `reload`, of a file that says this.
#[cfg(test)]
pub(in crate::control) async fn reload_as(control: &Control, base: Snapshot) -> Result<u64, NotApplied> {
    let mut ledger = control.ledger.lock().await;
    let desired = Desired { base: Arc::new(base), ..ledger.desired.clone() };
    let over = desired.over();
    bring_into_effect(control, &mut ledger, (desired, over), Cause::Asked { who: SIGNAL.to_owned(), note: None }).await
}
