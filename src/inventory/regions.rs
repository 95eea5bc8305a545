//! The one-way door of `cross_region = "single"` (requirement G6).
//!
//!     Home --targets in another region, single--> Away --targets back home, single--> refused
//!       ^                                          |
//!       `------------------- multi ----------------'
//!
//! Which side the balancer is on is not to be seen from its targets alone: it may have none between two regions. So the caller
//! keeps it from one change to the next.

use serde::{Deserialize, Serialize};

use super::place::{CrossRegion, Place};
use super::refusal::{Field, Refusal, Why};

/// The side of the door that the balancer is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// Its targets may still be in its own region.
    #[default]
    Home,
    /// They were in another one under `single`.
    Away,
}

/// Decides about all cvm and eni targets that the balancer is to have, by their regions, and gives the side it is on with them.
///
/// # Errors
/// The index of the first target that is in the wrong region, where one is, and why it is wrong.
pub fn pass<'t>(
    place: &Place,
    before: Door,
    regions: impl IntoIterator<Item = Option<&'t str>>,
) -> Result<Door, (Option<usize>, Refusal)> {
    let home = place.region.as_deref();
    let one_way = |what: String| {
        let mend = "set cross_region = \"multi\" in [balancer]: from there targets may come back";
        Refusal::new(Why::OneWay, Field::InstanceId, what, mend)
    };
    match (place.cross_region, before) {
        (CrossRegion::Multi, _) | (CrossRegion::Off, Door::Home) => return Ok(Door::Home),
        (CrossRegion::Off, Door::Away) => {
            let what = "under cross_region = \"single\" the targets have left the balancer's own region for good";
            return Err((None, one_way(what.to_owned())));
        }
        (CrossRegion::Single, _) => {}
    }
    let mut regions = regions.into_iter();
    let Some(first) = regions.next() else { return Ok(before) };
    if let Some((index, other)) = regions.enumerate().find(|(_, region)| *region != first) {
        let what = format!(
            "with cross_region = \"single\" all targets are in one region: this one is in {}, others are in {}",
            shown(other),
            shown(first)
        );
        let mend = "move them to one region, or set cross_region = \"multi\" in [balancer]";
        return Err((Some(index + 1), Refusal::new(Why::SeveralRegions, Field::InstanceId, what, mend)));
    }
    match (before, first == home) {
        (Door::Away, true) => {
            let what = format!("the targets have left {} for good under cross_region = \"single\"", shown(home));
            Err((Some(0), one_way(what)))
        }
        (Door::Home, true) => Ok(Door::Home),
        (_, false) => Ok(Door::Away),
    }
}

fn shown(region: Option<&str>) -> String {
    region.map_or_else(|| "no region".to_owned(), |region| format!("region \"{region}\""))
}
