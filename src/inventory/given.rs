//! Records as somebody gave them, before an inventory says whether they fit: what the API changed, and what a request brings.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::Id;
use super::records::{Eni, Instance, ScalingGroup};
use super::refusal::{Field, Refusal, Why};

/// Records of one giver, each id once. They may need records of another one: an ENI of the API's its instance of the file's. As JSON
/// they are `{"instances": [..], "enis": [..], "scaling_groups": [..]}`, each list by id; a list that is not there is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Lists", into = "Lists")]
pub struct Records {
    instances: BTreeMap<Id, Instance>,
    enis: BTreeMap<Id, Eni>,
    scaling_groups: BTreeMap<Id, ScalingGroup>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A machine.
    Instance(Instance),
    /// A network interface.
    Eni(Eni),
    /// Instances that come and go together.
    ScalingGroup(ScalingGroup),
}

/// Which record is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordId {
    /// What it is of.
    pub kind: RecordKind,
    /// Its id, or its name.
    pub id: Id,
}

/// What a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// A machine.
    Instance,
    /// A network interface.
    Eni,
    /// Instances that come and go together.
    ScalingGroup,
}

impl RecordKind {
    /// As sentences say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RecordKind::Instance => "instance",
            RecordKind::Eni => "ENI",
            RecordKind::ScalingGroup => "scaling group",
        }
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}\"", self.kind.as_str(), self.id)
    }
}

impl Record {
    /// Which one it is.
    #[must_use]
    pub fn which(&self) -> RecordId {
        match self {
            Record::Instance(instance) => RecordId { kind: RecordKind::Instance, id: instance.id.clone() },
            Record::Eni(eni) => RecordId { kind: RecordKind::Eni, id: eni.id.clone() },
            Record::ScalingGroup(group) => RecordId { kind: RecordKind::ScalingGroup, id: group.name.clone() },
        }
    }
}

impl Records {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.enis.is_empty() && self.scaling_groups.is_empty()
    }

    /// How much there is: records, and what they list.
    #[must_use]
    pub fn size(&self) -> usize {
        let of_enis = self.enis.values().map(|eni| 1 + eni.addresses.len());
        let of_groups = self.scaling_groups.values().map(|group| 1 + group.instances.len() + group.target_groups.len());
        self.instances.len() + of_enis.chain(of_groups).sum::<usize>()
    }

    /// Each of them, so that none comes before one that it may need.
    pub fn iter(&self) -> impl Iterator<Item = Record> {
        let instances = self.instances.values().cloned().map(Record::Instance);
        let enis = self.enis.values().cloned().map(Record::Eni);
        instances.chain(enis).chain(self.scaling_groups.values().cloned().map(Record::ScalingGroup))
    }

    /// Whether this one is there.
    #[must_use]
    pub fn contains(&self, which: &RecordId) -> bool {
        match which.kind {
            RecordKind::Instance => self.instances.contains_key(&which.id),
            RecordKind::Eni => self.enis.contains_key(&which.id),
            RecordKind::ScalingGroup => self.scaling_groups.contains_key(&which.id),
        }
    }

    /// Adds one, or replaces the one of its id.
    pub fn put(&mut self, record: Record) {
        match record {
            Record::Instance(instance) => drop(self.instances.insert(instance.id.clone(), instance)),
            Record::Eni(eni) => drop(self.enis.insert(eni.id.clone(), eni)),
            Record::ScalingGroup(group) => drop(self.scaling_groups.insert(group.name.clone(), group)),
        }
    }

    /// Forgets one.
    pub fn remove(&mut self, which: &RecordId) {
        match which.kind {
            RecordKind::Instance => drop(self.instances.remove(&which.id)),
            RecordKind::Eni => drop(self.enis.remove(&which.id)),
            RecordKind::ScalingGroup => drop(self.scaling_groups.remove(&which.id)),
        }
    }

    /// An instance is gone: its interfaces are attached to none, its scaling groups lose it.
    pub fn let_go(&mut self, instance: &Id) {
        for eni in self.enis.values_mut().filter(|eni| eni.instance_id.as_ref() == Some(instance)) {
            eni.instance_id = None;
        }
        for group in self.scaling_groups.values_mut() {
            group.instances.remove(instance);
        }
    }
}

/// How records are written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Lists {
    instances: Vec<Instance>,
    enis: Vec<Eni>,
    scaling_groups: Vec<ScalingGroup>,
}

impl From<Records> for Lists {
    fn from(records: Records) -> Lists {
        Lists {
            instances: records.instances.into_values().collect(),
            enis: records.enis.into_values().collect(),
            scaling_groups: records.scaling_groups.into_values().collect(),
        }
    }
}

impl TryFrom<Lists> for Records {
    type Error = Refusal;

    fn try_from(lists: Lists) -> Result<Records, Refusal> {
        let mut records = Records::default();
        let instances = lists.instances.into_iter().map(Record::Instance);
        let enis = lists.enis.into_iter().map(Record::Eni);
        let scaling_groups = lists.scaling_groups.into_iter().map(Record::ScalingGroup);
        for record in instances.chain(enis).chain(scaling_groups) {
            let which = record.which();
            if records.contains(&which) {
                let what = format!("{which} is there twice");
                return Err(Refusal::new(Why::Taken, Field::Id, what, "give each once"));
            }
            records.put(record);
        }
        Ok(records)
    }
}
