//! What systemd is told. Without systemd (no `NOTIFY_SOCKET`) each of these does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// Time beyond the drain deadline that ending may take.
const STOP_MARGIN: Duration = Duration::from_secs(10);

/// It serves, after a start or a reload.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload begins. `Type=notify-reload` wants the time of it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!("systemd cannot be told of the reload: {error}"),
    }
}

/// It drains for so long at most.
pub(super) fn stopping(drain: Duration) {
    let limit = u32::try_from((drain + STOP_MARGIN).as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(limit)]);
}

/// All is well.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often `alive` is due: twice as often as the unit's `WatchdogSec` asks for. `None` if it does not.
pub(super) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("systemd cannot be told: {error}");
    }
}
