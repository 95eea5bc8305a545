//! Disks that fail and power that is cut, at every step of a save.

use proptest::prelude::*;

use super::disk::{Failing, TestDisk};
use super::*;

/// So many are kept here, so that the oldest goes while a test looks.
const KEPT: usize = 3;

fn open(disk: &TestDisk) -> Result<(Store, Opened), StoreError> {
    Store::open_in(PathBuf::from("/state"), Box::new(disk.clone()), KEPT)
}

/// From this step on nothing happens any more.
fn the_end(from: usize) -> Failing {
    Failing { from, steps: usize::MAX, errno: libc::EIO }
}

/// Opens, and finds that no acknowledged revision is lost, that nothing is there that was not tried, and that what is
/// listed can be loaded.
fn survived(disk: &TestDisk, acknowledged: u64, tried: u64) -> u64 {
    let (store, opened) = open(disk).unwrap_or_else(|error| panic!("refused after {acknowledged}: {error}"));
    let current = opened.current.map_or(0, |current| {
        assert_eq!(current, saved(current.revision));
        current.revision
    });
    assert!((acknowledged..=tried).contains(&current), "{acknowledged} was acknowledged, {current} is there");
    for meta in store.revisions() {
        assert_eq!(store.load(meta.revision).unwrap(), saved(meta.revision));
    }
    let is_kept = |revision| store.revisions().iter().any(|meta| meta.revision == revision);
    assert!(current < 2 || is_kept(current - 1), "the previous version of {current} is kept");
    assert!(!disk.names_now().contains(&SAVING.to_owned()));
    current
}

/// Saves up to so many revisions; says which were acknowledged and which tried.
fn save_until_it_fails(store: &mut Store, last: u64) -> (u64, u64) {
    let first = store.revision_last() + 1;
    for revision in first..=last {
        if store.save(&saved(revision)).is_err() {
            return (revision - 1, revision);
        }
    }
    (last.max(first - 1), last.max(first - 1))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn r_k4_a_power_cut_at_any_step_loses_no_acknowledged_change(ends in prop::collection::vec(0_usize..30, 1..4), seed: u64) {
        let mut chances = fastrand::Rng::with_seed(seed);
        let mut disk = TestDisk::default();
        let mut current = 0;
        for end in ends {
            disk.fail(Some(the_end(disk.taken() + end)));
            let (acknowledged, tried) = match open(&disk) {
                Ok((mut store, _)) => save_until_it_fails(&mut store, current + 7),
                Err(_) => (current, current),
            };
            disk.fail(None);
            // Else only the process ended, and what was not synced is still seen.
            if chances.bool() {
                disk = disk.after_power_cut(&mut |below| chances.usize(..below));
            }
            current = survived(&disk, acknowledged, tried);
            // What was seen once stays: a cut now loses nothing of it.
            disk = disk.after_power_cut(&mut |_| 0);
            prop_assert_eq!(survived(&disk, current, current), current);
        }
    }
}

#[test]
fn r_k4_a_step_that_fails_is_an_error_and_the_next_save_goes_well() {
    for errno in [libc::ENOSPC, libc::EROFS, libc::EIO] {
        for steps in 1..=4 {
            // A save writes, renames and syncs; a fourth step would be the removal of the oldest.
            for fails_at in 0..3 {
                let disk = TestDisk::default();
                let (mut store, _) = open(&disk).unwrap();
                assert_eq!(save_until_it_fails(&mut store, 2), (2, 2));
                disk.fail(Some(Failing { from: disk.taken() + fails_at, steps, errno }));
                let error = store.save(&saved(3)).unwrap_err();
                disk.fail(None);
                let StoreError::Io { outcome, .. } = &error else { panic!("{error}") };
                // Only where what was renamed could not be taken back can it show up again.
                let is_uncertain = fails_at == 2 && steps > 1;
                assert_eq!(*outcome == Outcome::Unknown, is_uncertain, "step {fails_at}, {steps} steps: {error}");
                assert_eq!((numbers(&store), store.revision_last()), (vec![1, 2], 2));
                if !is_uncertain {
                    let after = disk.after_power_cut(&mut |_| 0);
                    assert_eq!(survived(&after, 2, 2), 2);
                }
                store.save(&Saved { who: "again".into(), ..saved(3) }).unwrap();
                assert_eq!(store.load(3).unwrap().who, "again");
                drop(store);
                let (_, opened) = open(&disk.after_power_cut(&mut |_| 0)).unwrap();
                assert_eq!(opened.current.unwrap().who, "again");
            }
        }
    }
}

#[test]
fn what_fails_is_said_with_how_to_mend_it() {
    let disk = TestDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    for (errno, fails_at, steps, says) in [
        (
            libc::ENOSPC,
            0,
            1,
            "saved: No space left on device (os error 28); there is no room: see df -h /state, and make some",
        ),
        (
            libc::EROFS,
            0,
            1,
            "saved: Read-only file system (os error 30); the file system is read-only: the kernel's log (dmesg) says whether \
             a failing disk made it so; under systemd give weir the folder by StateDirectory= or ReadWritePaths=",
        ),
        (
            libc::EACCES,
            1,
            1,
            "saved: Permission denied (os error 13); the account that runs weir must own the folder and all that is in it: \
             install -d -m 700 -o ACCOUNT FOLDER, chown -R ACCOUNT FOLDER",
        ),
        (
            libc::EIO,
            2,
            9,
            "synced: Input/output error (os error 5); look at the disk and the kernel's log: dmesg; whether the change was \
             saved shows after a restart",
        ),
    ] {
        disk.fail(Some(Failing { from: disk.taken() + fails_at, steps, errno }));
        let says = format!("state_dir: /state/revision-1: cannot be {says}");
        assert_eq!(store.save(&saved(1)).unwrap_err().to_string(), says);
    }
}

#[test]
fn the_oldest_that_cannot_be_removed_goes_later() {
    let disk = TestDisk::default();
    let (mut store, _) = open(&disk).unwrap();
    assert_eq!(save_until_it_fails(&mut store, 3), (3, 3));
    disk.fail(Some(Failing { from: disk.taken() + 3, steps: 1, errno: libc::EIO }));
    store.save(&saved(4)).unwrap();
    assert_eq!(numbers(&store), [1, 2, 3, 4]);
    store.save(&saved(5)).unwrap();
    assert_eq!(numbers(&store), [3, 4, 5]);
}

#[test]
fn a_folder_that_cannot_be_synced_is_opened_with_a_warning() {
    let disk = TestDisk::default();
    open(&disk).unwrap().0.save(&saved(1)).unwrap();
    disk.fail(Some(Failing { from: disk.taken(), steps: 1, errno: libc::EROFS }));
    let (_, opened) = open(&disk).unwrap();
    assert_eq!(opened.current, Some(saved(1)));
    let [warning] = &opened.warnings[..] else { panic!("{:?}", opened.warnings) };
    assert!(warning.ends_with("the change made last may be lost by a power cut"), "{warning}");
}
