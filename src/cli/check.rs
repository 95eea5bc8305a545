//! `weir check`: one line when the config is good, after one for each target that is left out and for each warning; else every
//! mistake. The config is looked at beside what the API changed, as `weir run` does.

use std::path::Path;

use super::show::counted;
use crate::config::Snapshot;
use crate::control::{Beside, beside_what_is_kept};

pub(super) fn check(path: &Path) -> Result<(), String> {
    let (snapshot, beside) = beside_what_is_kept(path).map_err(|errors| errors.to_string())?;
    match beside {
        Beside::Nothing => {}
        Beside::Revision(revision) => println!("beside what the API had changed as of revision {revision}"),
        Beside::Unreadable(why) => println!("not beside what the API changed: {why}"),
    }
    snapshot.left_out.iter().for_each(|line| println!("left out: {line}"));
    snapshot.warnings.iter().for_each(|line| println!("warning: {line}"));
    println!("OK: {}", summary(&snapshot));
    Ok(())
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
