//! `weir completions`: a script that a shell loads, so that it completes weir's commands and options.

use clap::ValueEnum;
use clap_complete::aot;

use super::show;
use super::trouble::Trouble;

/// Shells we make a script for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn completions(shell: Shell, mut command: clap::Command) -> Result<(), Trouble> {
    let shell = match shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    let mut script = Vec::new();
    aot::generate(shell, &mut command, "weir", &mut script);
    show::print(&String::from_utf8_lossy(&script))?;
    Ok(())
}
