//! `weir revisions`: what was applied, when, from where and by whom; the latest last.

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
        ("SOURCE", Align::Left),
        ("WHO", Align::Left),
        ("WHAT", Align::Left),
    ]);
    for revision in &revisions.revisions {
        table.row([
            revision.number.to_string(),
            revision.applied_at.clone(),
            ago(&revision.applied_at, now),
            revision.source.clone(),
            revision.who.clone().unwrap_or_default(),
            revision.what.clone().unwrap_or_default(),
        ]);
    }
    let text = table.to_text("");
    if text.is_empty() { "no revision yet\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_revision_has_its_age_and_those_of_the_api_who_and_what() {
        let now = humantime::parse_rfc3339("2026-01-02T03:04:05Z").unwrap();
        let mut answer = json!({ "revisions": [
            { "revision": 1, "applied_at": "2026-01-02T03:00:00.000Z", "source": "start" },
            { "revision": 2, "applied_at": "2026-01-02T03:04:00.500Z", "source": "reload" },
        ]});
        let shown = text(&api::understood(&answer).unwrap(), now);
        let expected = "REVISION  APPLIED                   AGO    SOURCE\n       1  2026-01-02T03:00:00.000Z  4m 5s  start\n       \
                        2  2026-01-02T03:04:00.500Z  4s     reload\n";
        assert_eq!(shown, expected);

        answer["revisions"][1]["who"] = json!("token");
        answer["revisions"][1]["what"] = json!("weight of 10.0.0.5:80: 10 to 0");
        let shown = text(&api::understood(&answer).unwrap(), now);
        assert!(shown.ends_with("reload  token  weight of 10.0.0.5:80: 10 to 0\n"), "{shown}");
    }

    #[test]
    fn no_revision_is_said() {
        assert_eq!(text(&Revisions { revisions: Vec::new() }, SystemTime::UNIX_EPOCH), "no revision yet\n");
    }
}
