//! A real disk that is full, and one that became read-only: a small tmpfs in a mount namespace of the test's own.

use std::env;
use std::process::Command;

use super::*;

const FOLDER: &str = "WEIR_TEST_STORE_SMALL_DISK";

/// Runs the test in a namespace where its folder is a disk of 256 KiB: this binary again, with the one test. Where none can
/// be made it says so, and the test counts as passed.
fn on_a_small_disk(name: &str, test: impl FnOnce(&Path)) {
    if let Some(folder) = env::var_os(FOLDER) {
        return test(Path::new(&folder));
    }
    let dir = TempDir::new().unwrap();
    let mount = "mount -t tmpfs -o size=256k,mode=700 weir \"$WEIR_TEST_STORE_SMALL_DISK\"";
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-ec", script, "sh"]).env(FOLDER, dir.path());
        command
    };
    if !unshare(mount).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no file system can be mounted here (it takes root or user namespaces)");
        return;
    }
    let output = unshare(&format!("{mount}; exec \"$@\""))
        .arg(env::current_exe().unwrap())
        .args(["--exact", &name_of_test(module_path!(), name), "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

fn big(revision: u64) -> Saved {
    Saved { body: vec![b'x'; 60_000], ..saved(revision) }
}

#[test]
fn r_k4_a_full_disk_is_an_error_that_says_so_and_what_was_saved_stays() {
    on_a_small_disk("r_k4_a_full_disk_is_an_error_that_says_so_and_what_was_saved_stays", |dir| {
        let (mut store, _) = Store::open(dir).unwrap();
        let (full, error) = (1..).find_map(|revision| Some((revision, store.save(&big(revision)).err()?))).unwrap();
        assert!(full > 2, "some fitted");
        let text = error.to_string();
        assert!(text.contains("No space left on device") && text.contains("df -h"), "{text}");
        assert!(matches!(error, StoreError::Io { outcome: Outcome::NothingChanged, .. }), "{text}");
        assert!(!names_in(dir).contains(&SAVING.to_owned()), "half a file takes no room");
        // What fits is saved.
        store.save(&Saved { body: Vec::new(), ..saved(full) }).unwrap();
        drop(store);
        let (store, opened) = Store::open(dir).unwrap();
        assert_eq!(opened.current.unwrap().revision, full);
        assert_eq!(store.load(full - 1).unwrap(), big(full - 1));
    });
}

#[test]
fn r_k4_a_disk_that_became_read_only_is_an_error_that_says_so_and_is_still_opened() {
    on_a_small_disk("r_k4_a_disk_that_became_read_only_is_an_error_that_says_so_and_is_still_opened", |dir| {
        let (mut store, _) = Store::open(dir).unwrap();
        store.save(&saved(1)).unwrap();
        assert!(Command::new("mount").args(["-o", "remount,ro"]).arg(dir).status().unwrap().success());
        let text = store.save(&saved(2)).unwrap_err().to_string();
        assert!(text.contains("Read-only file system") && text.contains("dmesg"), "{text}");
        drop(store);
        let (store, opened) = Store::open(dir).unwrap();
        assert_eq!((opened.current, numbers(&store)), (Some(saved(1)), vec![1]));
    });
}
