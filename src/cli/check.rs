//! `weir check`: one line when the config is good, after one for each target that is left out and for each warning; else every
//! mistake. The config is looked at beside what the API changed, as `weir run` does; a state that `weir run` would not start with is
//! a mistake, too.

use std::path::Path;

use super::show::counted;
use crate::config::{Errors, Snapshot};
use crate::control::{Beside, beside_what_is_kept};

pub(super) fn check(path: &Path) -> Result<(), String> {
    let (read, beside) = beside_what_is_kept(path).map_err(|errors| errors.to_string())?;
    let note = match beside {
        Beside::Nothing => None,
        Beside::Revision(revision) => Some(format!("beside what the API had changed as of revision {revision}")),
        Beside::Unreadable(why) => Some(format!("not beside what the API changed: {why}")),
        Beside::Refused(why) => {
            return Err(with_mistakes(read.as_ref().err(), &format!("weir would not start: {why}")));
        }
    };
    let snapshot = read.map_err(|errors| match &note {
        None => errors.to_string(),
        Some(note) => with_mistakes(Some(&errors), note),
    })?;
    note.iter().for_each(|note| println!("{note}"));
    snapshot.left_out.iter().for_each(|line| println!("left out: {line}"));
    snapshot.warnings.iter().for_each(|line| println!("warning: {line}"));
    println!("OK: {}", summary(&snapshot));
    Ok(())
}

/// Machines that the API knows may be what a mistake is about: what the file was read beside stands with the mistakes.
fn with_mistakes(mistakes: Option<&Errors>, note: &str) -> String {
    mistakes.map(ToString::to_string).into_iter().chain([note.to_owned()]).collect::<Vec<_>>().join("\n")
}

fn summary(snapshot: &Snapshot) -> String {
    let targets = snapshot.groups.iter().map(|group| group.targets.len()).sum();
    let counts = [(snapshot.listeners.len(), "listener"), (snapshot.groups.len(), "target group"), (targets, "target")];
    counts.map(|(count, what)| counted(count, what)).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Mode, parse};

    #[test]
    fn a_good_config_is_summed_up() {
        assert_eq!(summary(&parse("t", "", Mode::Run).unwrap()), "0 listeners, 0 target groups, 0 targets");
        let text = "[[target_group]]\nname='g'\nprotocol='tcp'\ntarget=[{address='10.0.0.1',port=1},{address='10.0.0.2',port=1}]\n";
        assert_eq!(summary(&parse("t", text, Mode::Run).unwrap()), "0 listeners, 1 target group, 2 targets");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        assert!(check(Path::new("/nowhere/weir.toml")).unwrap_err().contains("/nowhere/weir.toml"));
    }
}
