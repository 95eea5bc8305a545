//! How a run ends: with an error that says what to mend, or by ctrl-c or SIGTERM, through every guard on the way out.

use std::sync::atomic::{AtomicBool, Ordering};

/// Any failure; the text says what to mend.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Set by a signal; every wait looks at it.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Fails once the run is interrupted.
pub fn go_on() -> Result<()> {
    if interrupted() { Err("interrupted".into()) } else { Ok(()) }
}

pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Runs a bench to its end, whatever that is.
pub fn run(name: &str, bench: impl FnOnce() -> Result<()>) {
    watch_signals();
    if let Err(error) = bench() {
        eprintln!("{name}: {error}");
        std::process::exit(1);
    }
}

/// Ctrl-c and SIGTERM end the run through its guards, not past them.
fn watch_signals() {
    std::thread::spawn(|| {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            let terminate = tokio::signal::unix::SignalKind::terminate();
            let Ok(mut terminate) = tokio::signal::unix::signal(terminate) else { return };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            INTERRUPTED.store(true, Ordering::Relaxed);
        });
    });
}
