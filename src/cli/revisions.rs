//! `weir revisions`: what was applied, when and by whom; the latest last.

use std::time::SystemTime;

use super::api::{self, Endpoint, Format, Revisions};
use super::show::{self, Align, Table, ago};
use super::trouble::Trouble;

pub(super) fn revisions(endpoint: &Endpoint) -> Result<(), Trouble> {
    let answer = endpoint.open()?.get("/v1/revisions")?;
    match endpoint.format() {
        Format::Json => show::print_json(&answer)?,
        Format::Tables => show::print(&text(&api::understood(&answer)?, SystemTime::now()))?,
    }
    Ok(())
}

fn text(revisions: &Revisions, now: SystemTime) -> String {
    let mut table = Table::new(&[
        ("REVISION", Align::Right),
        ("APPLIED", Align::Left),
        ("AGO", Align::Left),
        ("WHO", Align::Left),
        ("WHAT", Align::Left),
    ]);
    for revision in &revisions.revisions {
        table.row([
            revision.number.to_string(),
            revision.applied_at.clone(),
            ago(&revision.applied_at, now),
            revision.who.clone(),
            revision.what.first().cloned().unwrap_or_default(),
        ]);
        for line in revision.what.iter().skip(1) {
            let none = String::new;
            table.row([none(), none(), none(), none(), line.clone()]);
        }
    }
    let text = table.to_text("");
    if text.is_empty() { "no revision yet\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_revision_has_its_age_who_made_it_and_what_it_changed() {
        let now = humantime::parse_rfc3339("2026-01-02T03:04:05Z").unwrap();
        let answer = json!({ "revisions": [
            { "revision": 1, "applied_at": "2026-01-02T03:00:00.000Z", "who": "start", "what": [] },
            { "revision": 2, "applied_at": "2026-01-02T03:04:00.500Z", "who": "reload", "what": ["one", "two"] },
        ]});
        let shown = text(&api::understood(&answer).unwrap(), now);
        let expected = [
            "REVISION  APPLIED                   AGO    WHO     WHAT",
            "       1  2026-01-02T03:00:00.000Z  4m 5s  start",
            "       2  2026-01-02T03:04:00.500Z  4s     reload  one",
            "                                                   two",
        ];
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn no_revision_is_said() {
        assert_eq!(text(&Revisions { revisions: Vec::new() }, SystemTime::UNIX_EPOCH), "no revision yet\n");
    }
}
