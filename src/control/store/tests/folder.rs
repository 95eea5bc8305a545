//! The folder as an operator meets it.

use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Mutex;

use super::*;
use crate::control::store::format::BODY_BYTES_MAX;

fn refusal(dir: &Path) -> String {
    let text = Store::open(dir).map(drop).unwrap_err().to_string();
    text.replace(dir.to_str().unwrap(), "DIR")
}

fn damage(dir: &Path, revision: u64) {
    let path = dir.join(name_of(revision));
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn r_k4_what_was_saved_is_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("state");
    let (mut store, opened) = Store::open(&path).unwrap();
    assert!(opened.current.is_none() && opened.warnings.is_empty(), "{opened:?}");
    assert_eq!((store.revision_last(), store.revision_newest()), (0, None));
    for revision in [1, 2, 7] {
        store.save(&saved(revision)).unwrap();
    }
    drop(store);
    let (store, opened) = Store::open(&path).unwrap();
    assert_eq!(opened.current, Some(saved(7)));
    assert_eq!(opened.warnings, Vec::<String>::new());
    assert_eq!(store.revisions(), [1, 2, 7].map(|revision| saved(revision).meta()));
    assert_eq!(store.revision_newest(), Some(&saved(7).meta()));
    assert_eq!(store.revision_last(), 7);
    for revision in [1, 2, 7] {
        assert_eq!(store.load(revision).unwrap(), saved(revision));
    }
    assert_eq!(store.load(3).unwrap_err().to_string(), "there is no revision 3; the last 100 are kept");
}

#[test]
fn the_last_hundred_revisions_are_kept() {
    let dir = folder_with(&(1..=103).collect::<Vec<_>>());
    let (mut store, _) = Store::open(dir.path()).unwrap();
    assert_eq!(numbers(&store), (4..=103).collect::<Vec<_>>());
    store.save(&saved(104)).unwrap();
    assert_eq!(numbers(&store), (5..=104).collect::<Vec<_>>());
    assert!(matches!(store.load(4), Err(StoreError::Unknown { revision: 4, .. })));
    assert_eq!(store.load(5).unwrap(), saved(5));
    assert_eq!(names_in(dir.path()).len(), 101, "a hundred revisions and the lock");
}

/// A folder in which another process saves, and lets go of what was newest, each time that the names were listed.
#[derive(Debug)]
struct Busy {
    disk: Disk,
    process: Mutex<Store>,
    saves: Mutex<u64>,
}

impl Folder for Busy {
    fn names(&self) -> io::Result<Vec<OsString>> {
        let names = self.disk.names();
        let (mut process, mut saves) = (self.process.lock().unwrap(), self.saves.lock().unwrap());
        if *saves > 0 {
            *saves -= 1;
            let newest = process.revision_last();
            process.save(&saved(newest + 1)).unwrap();
            process.forget(newest);
        }
        names
    }

    fn read(&self, name: &str, bytes_max: u64) -> io::Result<(Vec<u8>, u64)> {
        self.disk.read(name, bytes_max)
    }

    fn write_synced(&mut self, _: &str, _: &[u8]) -> io::Result<()> {
        panic!("who looks writes nothing")
    }

    fn rename(&mut self, _: &str, _: &str) -> io::Result<()> {
        panic!("who looks writes nothing")
    }

    fn remove(&mut self, _: &str) -> io::Result<()> {
        panic!("who looks removes nothing")
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn who_looks_while_another_process_saves_sees_what_it_saved_last() {
    for saves in 0..4 {
        let dir = folder_with(&[1, 2]);
        let (process, _) = Store::open(dir.path()).unwrap();
        let disk = Disk::open(dir.path().to_owned()).unwrap();
        let busy = Busy { disk, process: Mutex::new(process), saves: Mutex::new(saves) };
        let (path, folder, revisions) = (dir.path().to_owned(), Box::new(busy), BTreeMap::new());
        let store = Store { path, folder, revisions, revision_last: 0, kept: REVISIONS_KEPT, _lock: None };
        assert_eq!(store.newest().unwrap(), Some(saved(2 + saves)));
    }
}

#[test]
fn who_looks_is_told_of_a_damaged_state_as_who_opens_it() {
    let dir = folder_with(&[1, 2, 3]);
    assert_eq!(Store::peek(dir.path()).unwrap(), Some(saved(3)));
    damage(dir.path(), 3);
    let told = Store::peek(dir.path()).unwrap_err().to_string().replace(dir.path().to_str().unwrap(), "DIR");
    assert_eq!(told, refusal(dir.path()));
    assert_eq!(Store::peek(&dir.path().join("none")).unwrap(), None);
}

#[test]
fn numbers_only_grow() {
    let dir = folder_with(&[5]);
    let (mut store, _) = Store::open(dir.path()).unwrap();
    for revision in [0, 4, 5] {
        let says = format!("revision {revision} does not come after revision 5, which was saved last");
        assert_eq!(store.save(&saved(revision)).unwrap_err().to_string(), says);
    }
    assert_eq!(store.load(5).unwrap(), saved(5));
}

#[test]
fn what_is_too_large_is_refused_and_changes_nothing() {
    let dir = folder_with(&[1]);
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let long = "\u{1}".repeat(HEAD_BYTES_MAX / 6);
    let error = store.save(&Saved { what: long, ..saved(2) }).unwrap_err();
    assert!(error.to_string().starts_with("the revision's description has "), "{error}");
    let error = store.save(&Saved { body: vec![0; BODY_BYTES_MAX + 1], ..saved(2) }).unwrap_err();
    let says = "the revision's body has 67108865 bytes, and 67108864 can be saved; make the change smaller";
    assert_eq!(error.to_string(), says);
    assert_eq!(numbers(&store), [1]);
    // The longest head that fits is read back whole.
    let fits = Saved { what: "x".repeat(HEAD_BYTES_MAX - 300), ..saved(2) };
    store.save(&fits).unwrap();
    drop(store);
    assert_eq!(Store::open(dir.path()).unwrap().1.current, Some(fits));
}

#[test]
fn r_k4_what_is_saved_is_its_owners_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("state");
    Store::open(&path).unwrap().0.save(&saved(1)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o700);
    for name in names_in(&path) {
        assert_eq!(mode(&path.join(&name)), 0o600, "{name}");
    }
}

#[test]
fn a_folder_that_others_may_write_in_is_a_warning() {
    let dir = folder_with(&[1]);
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
    let warnings = Store::open(dir.path()).unwrap().1.warnings;
    let shown = dir.path().display();
    let says = format!("state_dir {shown}: others than its owner may write in it (mode 0770): chmod 700 {shown}");
    assert_eq!(warnings, [says]);
}

#[test]
fn r_k4_one_process_at_a_time_has_the_folder() {
    let dir = folder_with(&[1]);
    let (held, _) = Store::open(dir.path()).unwrap();
    let says = format!(
        "state_dir: DIR is in use by process {}; stop that one, or give each process a state_dir of its own",
        std::process::id()
    );
    assert_eq!(refusal(dir.path()), says);
    drop(held);
    Store::open(dir.path()).unwrap();
}

#[test]
fn r_k4_a_torn_file_is_refused_and_the_previous_one_is_offered() {
    let dir = folder_with(&[1, 2, 3]);
    let path = dir.path().join("revision-3");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
    let before = names_in(dir.path());
    let says = format!(
        "state_dir: DIR/revision-3: the file is torn: {} bytes are there of {}\n\
         state_dir: nothing was changed; revision 2 of 2027-01-15T08:00:00Z by \"token 2\" (\"change 2:\\n+ 10.0.0.2:80 \\\"ä\\\"\") \
         is whole. To go on with it, set aside what is not, and start again: mv DIR/revision-3 DIR/revision-3.aside",
        bytes.len() - 10,
        bytes.len()
    );
    assert_eq!(refusal(dir.path()), says);
    assert_eq!(names_in(dir.path()), before);

    fs::rename(&path, dir.path().join("revision-3.aside")).unwrap();
    let (mut store, opened) = Store::open(dir.path()).unwrap();
    assert_eq!(opened.current, Some(saved(2)));
    assert_eq!(opened.warnings, Vec::<String>::new());
    assert_eq!(store.revision_last(), 3, "no number means two things");
    assert!(matches!(store.save(&saved(3)), Err(StoreError::NotNewer { revision: 3, last: 3 })));
    store.save(&saved(4)).unwrap();
    assert_eq!(numbers(&store), [1, 2, 4]);
    assert!(dir.path().join("revision-3.aside").exists());
}

#[test]
fn the_previous_one_that_is_offered_is_whole_and_the_command_names_all_that_is_not() {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("it's here");
    let (mut store, _) = Store::open(&dir).unwrap();
    (1..=4).for_each(|revision| store.save(&saved(revision)).unwrap());
    drop(store);
    fs::write(dir.join("revision-4"), "").unwrap();
    damage(&dir, 3);
    let says = refusal(&dir);
    assert!(says.contains("revision-4: the file is torn: it is empty\n"), "{says}");
    assert!(says.contains("revision-3: the file is damaged: its body is not what was saved\n"), "{says}");
    assert!(says.contains("revision 2 of "), "{says}");
    let command =
        says.split_once("start again: ").unwrap().1.replace("DIR", &dir.display().to_string().replace('\'', "'\\''"));
    let status = std::process::Command::new("sh").args(["-ec", &command]).status().unwrap();
    assert!(status.success(), "{command}");
    assert_eq!(Store::open(&dir).unwrap().1.current, Some(saved(2)));
}

#[test]
fn r_k4_where_nothing_is_whole_nothing_is_made_up() {
    let dir = folder_with(&[1, 2]);
    damage(dir.path(), 1);
    damage(dir.path(), 2);
    let says = refusal(dir.path());
    assert!(
        says.contains(
            "no older revision is whole. Bring the folder back from a copy; or, to go on with the config file"
        ),
        "{says}"
    );
    let command = "mv DIR/revision-2 DIR/revision-2.aside && mv DIR/revision-1 DIR/revision-1.aside";
    assert!(says.ends_with(command), "{says}");
    assert_eq!(names_in(dir.path()), ["lock", "revision-1", "revision-2"]);
}

#[test]
fn r_k4_a_foreign_file_in_the_place_of_a_revision_is_refused() {
    for (make, says) in [
        (
            Box::new(|path: &Path| fs::write(path, "[balancer]\n").unwrap()) as Box<dyn Fn(&Path)>,
            "this is not a file that weir saved",
        ),
        (Box::new(|path| fs::create_dir(path).unwrap()), "the file cannot be read: it is a folder, a link or a device"),
        (
            Box::new(|path| symlink("revision-1", path).unwrap()),
            "the file cannot be read: it is a folder, a link or a device",
        ),
        (
            Box::new(|path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success())),
            "the file cannot be read: it is a folder, a link or a device",
        ),
        (
            Box::new(|path| assert!(fs::copy(path.with_file_name("revision-1"), path).unwrap() > 0)),
            "the file holds revision 1: it was renamed or copied",
        ),
    ] {
        let dir = folder_with(&[1]);
        make(&dir.path().join("revision-2"));
        let refusal = refusal(dir.path());
        assert!(refusal.starts_with(&format!("state_dir: DIR/revision-2: {says}\n")), "{refusal}");
        assert!(refusal.contains("revision 1 of "), "{refusal}");
    }
}

#[test]
fn a_damaged_revision_of_the_past_is_a_warning_and_an_error_when_it_is_asked_for() {
    let dir = folder_with(&[1, 2, 3]);
    fs::write(dir.path().join("revision-1"), "torn").unwrap();
    damage(dir.path(), 2);
    let (store, opened) = Store::open(dir.path()).unwrap();
    assert_eq!(opened.current, Some(saved(3)));
    let shown = dir.path().display();
    let says = format!(
        "state_dir: {shown}/revision-1: this is not a file that weir saved; it cannot be gone back to: remove it"
    );
    assert_eq!(opened.warnings, [says]);
    assert_eq!(numbers(&store), [2, 3]);
    let error = store.load(2).unwrap_err().to_string();
    let says = "the file is damaged: its body is not what was saved; choose another revision";
    assert_eq!(error, format!("state_dir: {shown}/revision-2: {says}"));
    assert!(matches!(store.load(1), Err(StoreError::Damaged { .. })));
}

#[test]
fn files_that_are_not_ours_are_left_alone_and_named() {
    let dir = folder_with(&[1]);
    for name in ["weir.toml", "revision-02", "revision-", "revision-x", "revision-+3"] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    let (mut store, opened) = Store::open(dir.path()).unwrap();
    assert_eq!(opened.current, Some(saved(1)));
    let says = format!(
        "state_dir: {}: files that are not weir's are left alone: \"revision-\", \"revision-+3\", \"revision-02\", \
         \"revision-x\", \"weir.toml\"; is it the right folder?",
        dir.path().display()
    );
    assert_eq!(opened.warnings, [says]);
    store.save(&saved(2)).unwrap();
    assert_eq!(names_in(dir.path()).len(), 8);
}

#[test]
fn what_was_being_written_when_a_process_ended_is_cleared_away() {
    let dir = folder_with(&[1]);
    fs::write(dir.path().join("saving"), "half").unwrap();
    let (_, opened) = Store::open(dir.path()).unwrap();
    assert_eq!((opened.current, opened.warnings.len()), (Some(saved(1)), 0));
    assert_eq!(names_in(dir.path()), ["lock", "revision-1"]);
}

#[test]
fn a_folder_that_cannot_be_says_why() {
    let dir = TempDir::new().unwrap();
    let says = "state_dir: DIR/a/b: cannot make the folder: No such file or directory (os error 2); make the folder above it, \
                or correct state_dir";
    let text = Store::open(&dir.path().join("a/b")).map(drop).unwrap_err().to_string();
    assert_eq!(text.replace(dir.path().to_str().unwrap(), "DIR"), says);
    fs::write(dir.path().join("file"), "").unwrap();
    let text = Store::open(&dir.path().join("file")).map(drop).unwrap_err().to_string();
    assert!(
        text.ends_with("cannot lock it: Not a directory (os error 20); it is not a folder: correct state_dir"),
        "{text}"
    );
}
