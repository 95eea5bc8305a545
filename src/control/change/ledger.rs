//! What is desired, and where it is kept.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::error::{ChangeError, KeptError};
use crate::config::{Changes, Errors, Known, Over, Snapshot, Text, Waiting};
use crate::control::error::StartError;
use crate::control::run::Source;
use crate::control::state::Revision;
use crate::control::store::{Saved, Store, StoreError};
use crate::inventory::Door;

/// Answers to requests with an `Idempotency-Key` that are kept: of so many requests.
const ANSWERS_KEPT: usize = 1000;

/// How long a reload may read: whoever changes something waits for as long. Ours: the largest config takes a second or two; and
/// below the time that a request of the API has (admin/router.rs), so that its client hears of it.
const READ_LIMIT: Duration = Duration::from_secs(8);

/// What is desired, and where it is kept. Whoever holds it is the only one who changes anything.
#[derive(Debug)]
pub(in crate::control) struct Ledger {
    pub(super) desired: Desired,
    /// `None` without a `state_dir`, or where the thread that writes ended.
    pub(super) store: Option<Store>,
    /// Targets that were bound and may not be now.
    pub(super) waiting: Vec<Waiting>,
    /// The targets of now are in regions that `cross_region` does not allow: a start finds them so.
    pub(super) is_astray: bool,
    /// Shards that have not confirmed the revision in effect.
    pub(super) missing: Vec<usize>,
    /// What reads the file, or read it last. A disk that does not answer holds it up for good.
    reading: Option<AbortHandle>,
}

/// The file, and what the API changed beside it.
#[derive(Debug, Clone)]
pub(super) struct Desired {
    /// The file as it was read last.
    pub text: Arc<Text>,
    /// What it says, beside the API's machines.
    pub base: Arc<Snapshot>,
    pub kept: Kept,
}

/// What the store keeps: it outlives the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Kept {
    pub changes: Changes,
    /// The side of the one-way door of `cross_region` that the balancer is on (requirement G6).
    pub door: Door,
    /// The oldest first.
    pub answered: VecDeque<Answered>,
}

/// A request that was answered, by its `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answered {
    pub key: String,
    /// Of what it asked for.
    pub digest: String,
    pub revision: u64,
}

impl Kept {
    pub(super) fn of(saved: &Saved) -> Result<Kept, KeptError> {
        serde_json::from_slice(&saved.body).map_err(|error| KeptError::Foreign { revision: saved.revision, error })
    }

    pub(super) fn answer(&mut self, answered: Answered) {
        while self.answered.len() >= ANSWERS_KEPT {
            self.answered.pop_front();
        }
        self.answered.push_back(answered);
    }

    /// What the file is read beside.
    fn known(&self) -> Known {
        Known { records: self.changes.records.clone(), door: self.door }
    }
}

impl Desired {
    /// The file beside what was kept. What became of machines since it was kept is taken down.
    pub(super) fn read(text: Arc<Text>, kept: Kept) -> Result<Desired, Errors> {
        let base = text.resolve(&kept.known())?;
        Ok(Desired { text, base: Arc::new(base), kept }.settled())
    }

    /// The same file beside other changes: it is read again where they know other machines.
    pub(super) fn with(&self, changes: Changes) -> Result<Desired, Errors> {
        let same_machines = changes.records == self.kept.changes.records;
        let kept = Kept { changes, ..self.kept.clone() };
        if same_machines {
            return Ok(Desired { kept, ..self.clone() }.settled());
        }
        let read = Desired::read(Arc::clone(&self.text), kept)?;
        Ok(read.like_at_start(&self.base))
    }

    /// `[shards]`, `[admin]` but for its certificate, and `state_dir` stay as they were, and a snapshot says what is, not what
    /// is wished for.
    pub(super) fn like_at_start(self, old: &Snapshot) -> Desired {
        let (cores, state_dir) = (old.cores.clone(), old.state_dir.clone());
        let admin = old.admin.renewed(&self.base.admin);
        let base = Snapshot { cores, admin, state_dir, ..Arc::unwrap_or_clone(self.base) };
        Desired { base: Arc::new(base.sharing_with(old)), text: self.text, kept: self.kept }
    }

    fn settled(mut self) -> Desired {
        self.kept.changes = std::mem::take(&mut self.kept.changes).settled(&self.base);
        self
    }

    pub(super) fn over(&self) -> Over {
        self.kept.changes.over(&self.base, self.kept.door)
    }

    /// Says what was changed and has no place in the file any more.
    pub(super) fn warn_of_waiting(&self) {
        for group in self.kept.changes.waiting(&self.base) {
            tracing::warn!(
                group,
                "the API changed this target group, and the config has none of that name with managed = \"api\": its targets \
                 are kept and wait for it"
            );
        }
    }
}

impl Ledger {
    /// The ledger of what a file says, with what an earlier process kept. Gives the revision that it had come to, too.
    ///
    /// # Errors
    /// The file is no good, the store does not open, or what was kept is not what this version of weir keeps.
    pub(in crate::control) fn open(text: Text) -> Result<(Self, u64), StartError> {
        let (mut store, mut kept) = (None, Kept::default());
        // It says what the rest of the file is read beside.
        if let Some(folder) = text.state_dir() {
            let (opened_store, opened) = Store::open(&folder).map_err(KeptError::from)?;
            opened.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            kept = opened.current.as_ref().map(Kept::of).transpose()?.unwrap_or_default();
            store = Some(opened_store);
        }
        let desired = Desired::read(Arc::new(text), kept)?;
        let revision = store.as_ref().map_or(0, Store::revision_last);
        Ok((
            Ledger { desired, store, waiting: Vec::new(), is_astray: false, missing: Vec::new(), reading: None },
            revision,
        ))
    }

    /// The snapshot that is desired.
    pub(in crate::control) fn snapshot(&self) -> Snapshot {
        self.desired.over().snapshot
    }

    /// What the file says now, beside what is kept. A large one takes a while: requests and signals go on.
    pub(super) async fn read(&mut self, source: Source) -> Result<Desired, ChangeError> {
        let kept = self.desired.kept.clone();
        let read = move || Desired::read(Arc::new(source.read()?), kept);
        self.read_within(READ_LIMIT, read).await?.map_err(ChangeError::Config)
    }

    /// One thread at most waits for a disk that does not answer: the store needs threads, too.
    async fn read_within<T: Send + 'static>(
        &mut self,
        limit: Duration,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ChangeError> {
        if self.reading.as_ref().is_some_and(|reading| !reading.is_finished()) {
            return Err(ChangeError::StillRead);
        }
        let reading = tokio::task::spawn_blocking(read);
        self.reading = Some(reading.abort_handle());
        match timeout(limit, reading).await {
            Ok(read) => read.map_err(|error| ChangeError::NotRead(error.to_string())),
            Err(_) => Err(ChangeError::ReadTooLong { seconds: limit.as_secs() }),
        }
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
}

/// What a file says beside what a process kept, or keeps, in its `state_dir`: for whoever looks, not for whoever runs it.
///
/// # Errors
/// Why the file cannot be read.
pub fn beside_what_is_kept(path: &Path) -> Result<(Result<Snapshot, Errors>, Beside), Errors> {
    let text = Text::read(path)?;
    let (kept, beside) = match text.state_dir().map(|folder| Store::peek(&folder)) {
        None | Some(Ok(None)) => (Kept::default(), Beside::Nothing),
        Some(Ok(Some(saved))) => match Kept::of(&saved) {
            Ok(kept) => (kept, Beside::Revision(saved.revision)),
            Err(error) => (Kept::default(), Beside::Refused(error.to_string())),
        },
        Some(Err(StoreError::Io { error, path, .. })) if error.kind() == ErrorKind::PermissionDenied => {
            (Kept::default(), Beside::Unreadable(format!("{} cannot be read by this account", path.display())))
        }
        Some(Err(error)) => (Kept::default(), Beside::Refused(error.to_string())),
    };
    let read = Desired::read(Arc::new(text), kept);
    Ok((read.map(|desired| desired.over().snapshot), beside))
}

/// What a file was read beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beside {
    /// The API changed nothing that is kept.
    Nothing,
    /// What the API had changed as of this revision.
    Revision(u64),
    /// Nothing: this account may not read it. The one that runs weir may.
    Unreadable(String),
    /// Nothing: no weir starts with what is there, and this is why.
    Refused(String),
}

#[cfg(test)]
impl Ledger {
    /// One that nothing keeps.
    pub(in crate::control) fn of(base: &Snapshot) -> Self {
        let text = Arc::new(Text::of_demo("", Path::new("")));
        let desired = Desired { text, base: Arc::new(base.clone()), kept: Kept::default() };
        Ledger { desired, store: None, waiting: Vec::new(), is_astray: false, missing: Vec::new(), reading: None }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::config::{Mode, parse};

    #[tokio::test]
    async fn a_disk_that_does_not_answer_holds_nobody_up_for_good_and_one_thread_at_most() {
        let mut ledger = Ledger::of(&parse("t", "", Mode::Run).unwrap());
        let (answer, answered) = mpsc::channel::<()>();
        let hangs = move || answered.recv().is_ok();
        let error = ledger.read_within(Duration::from_millis(10), hangs).await.unwrap_err();
        assert!(matches!(error, ChangeError::ReadTooLong { .. }), "{error}");
        let error = ledger.read_within(READ_LIMIT, || true).await.unwrap_err();
        assert!(matches!(error, ChangeError::StillRead), "{error}");
        answer.send(()).unwrap();
        while matches!(ledger.read_within(READ_LIMIT, || true).await, Err(ChangeError::StillRead)) {
            tokio::task::yield_now().await;
        }
        assert!(ledger.read_within(READ_LIMIT, || true).await.unwrap());
    }
}
