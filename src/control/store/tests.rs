//! The store: its file format, its folder as an operator meets it, disks that fail, power cuts, and processes that are killed.

mod bytes;
mod disk;
mod folder;
mod host;
mod killed;
mod power;

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::*;

/// A revision that says which one it is in every part. Bodies differ in length, and some are longer than a head may be.
fn saved(revision: u64) -> Saved {
    let body = format!("{{\"revision\":{revision}}}\n").repeat(1 + usize::try_from(revision % 5).unwrap() * 1500);
    Saved {
        revision,
        at: UNIX_EPOCH + Duration::from_nanos(1_800_000_000_123_456_789 + revision),
        who: format!("token {revision}"),
        what: format!("change {revision}:\n+ 10.0.0.{revision}:80 \"ä\""),
        body: body.into_bytes(),
    }
}

/// A folder with these revisions.
fn folder_with(revisions: &[u64]) -> TempDir {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    revisions.iter().for_each(|revision| store.save(&saved(*revision)).unwrap());
    dir
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn numbers(store: &Store) -> Vec<u64> {
    store.revisions().iter().map(|meta| meta.revision).collect()
}

/// The path of this test for `--exact`.
fn name_of_test(module: &str, test: &str) -> String {
    format!("{}::{test}", module.split_once("::").unwrap().1)
}
