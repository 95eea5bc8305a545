//! stub
use std::path::Path;
use std::time::SystemTime;
#[derive(Debug)]
pub(in crate::control) struct Store;
#[derive(Debug)]
pub(in crate::control) struct Opened {
    pub current: Option<Saved>,
    pub warnings: Vec<String>,
}
#[derive(Debug, Clone)]
pub(in crate::control) struct Saved {
    pub revision: u64,
    pub at: SystemTime,
    pub who: String,
    pub what: String,
    pub body: Vec<u8>,
}
#[derive(Debug, Clone)]
pub(in crate::control) struct Meta {
    pub revision: u64,
    pub at: SystemTime,
    pub who: String,
    pub what: String,
}
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(String);
impl StoreError {
    pub(in crate::control) fn foreign(revision: u64, why: &str) -> Self {
        StoreError(format!("{revision}: {why}"))
    }
}
impl Store {
    pub(in crate::control) fn open(_: &Path) -> Result<(Store, Opened), StoreError> {
        Ok((Store, Opened { current: None, warnings: vec![] }))
    }
    pub(in crate::control) fn save(&mut self, _: &Saved) -> Result<(), StoreError> {
        Ok(())
    }
    pub(in crate::control) fn load(&self, _: u64) -> Result<Saved, StoreError> {
        Err(StoreError(String::new()))
    }
    pub(in crate::control) fn revisions(&self) -> Vec<Meta> {
        vec![]
    }
}
