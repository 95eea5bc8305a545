//! Why a command did not do what it was asked to, and what the process then ends with.

use std::fmt;
use std::process::ExitCode;

/// What scripts go by; docs/commands.md lists them. 0 is success, 2 is clap's: the command line itself is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Refused, by the API or by what was found; nothing was changed.
    Failed = 1,
    /// No answer came from the admin endpoint, or none that is whole, or it gave up on a change. That may have been made.
    NoAnswer = 3,
    /// The admin endpoint wants a token, or another one.
    Unauthorized = 4,
}

/// What went wrong, where, how to mend it.
#[derive(Debug)]
pub(super) struct Trouble {
    exit: Exit,
    message: String,
}

impl Trouble {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Trouble { exit, message: message.into() }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }

    #[cfg(test)]
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<String> for Trouble {
    fn from(message: String) -> Self {
        Trouble::new(Exit::Failed, message)
    }
}
