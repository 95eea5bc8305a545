//! Reloads on SIGHUP, one at a time, beside the loop that hears the signals.
//!
//! ```text
//!     SIGHUP --ask--> RELOADING=1, a task: read, bind, keep, hand over --its end--> READY=1
//!               `--one runs--> one more after it, however often it was asked for
//! ```
//!
//! A reload waits in line behind other changes, for the disk and for shards that may be stuck: longer than the watchdog of systemd
//! lets a process be silent, and than an operator who stops it wants to wait.
//! Always: each RELOADING=1 is followed by one READY=1, unless the process stops, and none comes after STOPPING=1.

use std::future::pending;
use std::mem;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::change::{self, ChangeError, NotApplied};
use super::notify;
use super::state::Control;

/// The reload that runs, if one does.
#[derive(Debug, Default)]
pub(super) struct Reloading {
    /// One at most.
    running: JoinSet<()>,
    /// It was asked for since that one began, which may have read the file before.
    once_more: bool,
}

impl Reloading {
    /// Reloads, once the reload that runs has ended.
    pub(super) fn ask(&mut self, control: &Arc<Control>) {
        if self.running.is_empty() {
            self.begin(control);
        } else {
            self.once_more = true;
        }
    }

    /// Waits for the end of the reload that runs, and begins the next if it was asked for. Where none runs it waits for good. It
    /// may be dropped at any time.
    pub(super) async fn go_on(&mut self, control: &Arc<Control>) {
        let Some(ended) = self.running.join_next().await else { return pending().await };
        if let Err(error) = ended {
            tracing::error!("a reload did not come to its end: {error}: a bug");
        }
        notify::ready();
        if mem::take(&mut self.once_more) {
            self.begin(control);
        }
    }

    /// The process stops. What a reload has begun to keep and to hand over it ends, so that nothing is half of one revision and
    /// half of another; shards that drain open nothing again.
    pub(super) fn leave(mut self) {
        self.running.detach_all();
    }

    fn begin(&mut self, control: &Arc<Control>) {
        notify::reloading();
        self.running.spawn(reload(Arc::clone(control)));
    }
}

/// Each reason why the config of now is not in effect on every shard is a line of the log.
async fn reload(control: Arc<Control>) {
    match change::reload(&control).await {
        Ok(revision) => tracing::info!(revision, "config reloaded"),
        Err(ChangeError::NotApplied(error @ NotApplied::Unconfirmed { .. })) => {
            tracing::error!("config reloaded: {error}");
        }
        Err(ChangeError::NotServing) => tracing::warn!("not reloading: weir is draining"),
        Err(error) => {
            error.to_string().lines().for_each(|line| tracing::error!("{line}"));
            tracing::error!("config not reloaded: nothing changed");
        }
    }
}
