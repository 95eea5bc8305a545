//! What systemd is told. Without systemd (no `NOTIFY_SOCKET`) each of these does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

/// What a stop asks for each time, on top of what the unit's `TimeoutStopSec` leaves. It is asked for again and again, so a
/// stop takes as long as it needs, and one that hangs is killed this soon.
const STOP_EXTENSION: Duration = Duration::from_secs(20);
/// How often a stop asks, unless the watchdog wants to hear of us more often.
const STOP_INTERVAL: Duration = Duration::from_secs(5);
const _: () = assert!(STOP_INTERVAL.as_secs() * 3 < STOP_EXTENSION.as_secs(), "two may be late");

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

/// It begins to stop. `still_stopping` is due from now on.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// It stops and is well.
pub(super) fn still_stopping() {
    tell(&still_stopping_states());
}

fn still_stopping_states() -> [NotifyState<'static>; 2] {
    let extension = u32::try_from(STOP_EXTENSION.as_micros()).unwrap_or(u32::MAX);
    [NotifyState::ExtendTimeoutUsec(extension), NotifyState::Watchdog]
}

/// How often `still_stopping` is due, the first time at once.
pub(super) fn stop_interval() -> Duration {
    watchdog_interval().map_or(STOP_INTERVAL, |interval| interval.min(STOP_INTERVAL))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_asks_for_more_time_than_passes_until_it_asks_again() {
        let [extension, watchdog] = still_stopping_states().map(|state| state.to_string());
        let micros: u64 = extension.strip_prefix("EXTEND_TIMEOUT_USEC=").unwrap().parse().unwrap();
        assert!(Duration::from_micros(micros) >= 2 * stop_interval(), "{extension}");
        assert_eq!(watchdog, "WATCHDOG=1");
    }
}
