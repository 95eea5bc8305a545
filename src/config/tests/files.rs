//! Files: what cannot be read, and the files and pages that ship with us.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::config::keys::{SECTIONS, Section};
use crate::config::values::shown_duration;

const REFERENCE: &str = include_str!("../../../docs/config.md");
const SAMPLE: &str = include_str!("../../../deploy/weir.toml");

fn load(path: &Path) -> Result<Snapshot, Errors> {
    Text::read(path)?.resolve(&Known::default())
}

/// The errors of a file with these bytes, without the directory in front.
fn errors_of_file(bytes: &[u8]) -> String {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("lb.toml");
    fs::write(&path, bytes).expect("the file is written");
    let errors = load(&path).expect_err("the file is bad");
    errors.to_string().replace(&format!("{}/", dir.path().display()), "")
}

#[test]
fn a_good_file_loads() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("lb.toml");
    fs::write(&path, GOOD).expect("the file is written");
    assert_eq!(load(&path).expect("good"), good(GOOD));
}

#[test]
fn a_text_means_what_it_meant_when_it_was_read_whatever_becomes_of_its_files() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("lb.toml");
    let page = dir.path().join("sorry.html");
    let text = GOOD.to_owned()
        + "[balancer]\nstate_dir = \"state\"\n[[listener]]\nname = \"pages\"\nprotocol = \"http\"\naddress = \"10.0.0.1:8888\"\n\
           default_action = { fixed_response = { status = 200 } }\nerror_page = [{ status = 503, file = \"sorry.html\" }]\n";
    fs::write(&path, &text).expect("the file is written");
    fs::write(&page, "first").expect("the page is written");
    let read = Text::read(&path).expect("it is there");
    assert_eq!(read.state_dir(), Some(dir.path().join("state")));
    let first = read.resolve(&Known::default()).unwrap_or_else(|errors| panic!("{errors}"));
    fs::write(&path, "no TOML").expect("the file is written");
    fs::remove_file(&page).expect("the page is removed");
    assert_eq!(read.resolve(&Known::default()), Ok(first));
    assert!(Text::read(&path).expect("it is text").state_dir().is_none(), "what is no TOML says nothing");
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let missing = load(&PathBuf::from("/nonexistent/lb.toml")).expect_err("there is none");
    let says = "/nonexistent/lb.toml: cannot be read: No such file or directory (os error 2); check the path";
    assert_eq!(missing.to_string(), says);
    let directory = load(&PathBuf::from("/")).expect_err("a directory");
    assert_eq!(directory.to_string(), "/: cannot be read: Is a directory (os error 21); name the file inside it");
}

#[test]
fn a_pipe_or_a_device_in_the_place_of_a_file_is_refused_and_not_waited_for() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("lb.toml");
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).expect("bound");
    for name in ["pipe", "socket"].map(|name| dir.path().join(name)).into_iter().chain(["/dev/zero".into()]) {
        let says = "cannot be read: it is a pipe, a socket or a device; name a file that ends: save what comes out of it first";
        assert_eq!(load(&name).expect_err("no file").to_string(), format!("{}: {says}", name.display()));
        let text = format!("[balancer]\nsecret_file = \"{}\"\n", name.display());
        fs::write(&path, text).expect("the file is written");
        let errors = load(&path).expect_err("no file").to_string();
        assert!(errors.ends_with(&format!("[balancer]: secret_file: {} {says}", name.display())), "{errors}");
    }
}

#[test]
fn a_file_that_is_not_utf8_says_where() {
    let says = "lb.toml:2:9: text: byte 0xff is not UTF-8; save the file as UTF-8";
    assert_eq!(errors_of_file(b"[balancer]\nname = \"\xff\"\n"), says);
    assert_eq!(errors_of_file(b"#\n\xc3"), "lb.toml:2:1: text: byte 0xc3 is not UTF-8; save the file as UTF-8");
}

#[test]
fn a_huge_file_is_refused_unread() {
    let says = "lb.toml: the file is larger than 16 MiB; check that this is the config file";
    assert_eq!(errors_of_file(&vec![b'\n'; limits::FILE_BYTES_MAX + 1]), says);
}

#[test]
fn the_sample_config_is_good() {
    let snapshot = good(SAMPLE);
    let groups = snapshot.listeners.iter().flat_map(|listener| snapshot.groups_of(listener));
    let groups: Vec<_> = groups.map(|group| &*group.name).collect();
    assert_eq!(groups, ["app", "api", "api-next", "db"]);
}

#[test]
fn the_defaults_that_the_sample_shows_are_those_that_hold() {
    let uncommented: String = SAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest.contains(" = ")
                    && !["token_file", "secret_file", "webhook_key_file", "certificate_file", "key_file"]
                        .iter()
                        .any(|key| rest.starts_with(key)) =>
            {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    assert!(uncommented.len() + 10 < SAMPLE.len(), "the sample shows defaults");
    assert_eq!(good(&uncommented), good(SAMPLE));
}

#[test]
fn the_example_in_the_reference_is_good_and_shows_every_key() {
    let example = REFERENCE.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    good(example);
    for key in SECTIONS.iter().flat_map(|section| section.keys) {
        let typed = [format!("{key} = "), format!("[{key}]"), format!(".{key}]")];
        assert!(typed.iter().any(|form| example.contains(form)), "{key} is not in the example");
    }
}

#[test]
fn the_reference_has_one_entry_for_each_key_of_each_table_and_no_other() {
    for section in SECTIONS {
        let entries: Vec<_> = rows(section).map(|row| row[0].trim_matches('`')).collect();
        assert_eq!(entries, section.keys, "{}", section.title);
        for row in rows(section) {
            assert_eq!(row.len(), 5, "entry {} of {}", row[0], section.title);
        }
    }
}

#[test]
fn the_reference_gives_the_ranges_and_defaults_that_hold() {
    let entry = |section: Section, key: &str, range: String, default: String| {
        let row = rows(section).find(|row| row[0].trim_matches('`') == key).expect("an entry");
        assert!(row[3].starts_with(&range), "{key} is said to range over {}, not {range}", row[3]);
        assert_eq!(row[4], default, "{key}");
    };
    let duration = |range: &std::ops::RangeInclusive<Duration>| {
        format!("{} to {}", shown_duration(*range.start()), shown_duration(*range.end()))
    };
    let count = |range: &std::ops::RangeInclusive<u8>| format!("{} to {}", range.start(), range.end());
    let (idle, connect) = (duration(&limits::IDLE_TIMEOUT), duration(&limits::CONNECT_TIMEOUT));
    let (interval, timeout) = (duration(&limits::HEALTH_INTERVAL), duration(&limits::HEALTH_TIMEOUT));
    let defaults =
        [limits::IDLE_TIMEOUT_TCP_DEFAULT, limits::IDLE_TIMEOUT_HTTP_DEFAULT].map(shown_duration).join("; http: ");
    entry(keys::LISTENER, "idle_timeout", idle, defaults);
    for (section, key, range, default) in [
        (keys::LISTENER, "header_timeout", limits::HEADER_TIMEOUT, limits::HEADER_TIMEOUT_DEFAULT),
        (keys::LISTENER, "body_timeout", limits::BODY_TIMEOUT, limits::BODY_TIMEOUT_DEFAULT),
        (keys::LISTENER, "send_timeout", limits::SEND_TIMEOUT, limits::SEND_TIMEOUT_DEFAULT),
        (keys::TARGET_GROUP, "response_timeout", limits::RESPONSE_TIMEOUT, limits::RESPONSE_TIMEOUT_DEFAULT),
        (
            keys::TARGET_GROUP,
            "deregistration_delay",
            limits::DEREGISTRATION_DELAY,
            limits::DEREGISTRATION_DELAY_DEFAULT,
        ),
        (keys::STICKINESS, "duration", limits::STICKINESS, limits::STICKINESS_DEFAULT),
        (keys::KEEP_ALIVE, "idle_timeout", limits::KEEP_ALIVE_IDLE_TIMEOUT, limits::KEEP_ALIVE_IDLE_TIMEOUT_DEFAULT),
        (keys::KEEP_ALIVE, "lifetime", limits::KEEP_ALIVE_LIFETIME, limits::KEEP_ALIVE_LIFETIME_DEFAULT),
    ] {
        entry(section, key, duration(&range), shown_duration(default));
    }
    let numbers = |range: &std::ops::RangeInclusive<u16>| format!("{} to {}", range.start(), range.end());
    let (idle_max, weight) = (numbers(&limits::KEEP_ALIVE_IDLE_MAX), numbers(&limits::GROUP_WEIGHT));
    entry(keys::KEEP_ALIVE, "idle_max", idle_max, limits::KEEP_ALIVE_IDLE_MAX_DEFAULT.to_string());
    entry(keys::FORWARD, "weight", weight, limits::GROUP_WEIGHT_DEFAULT.to_string());
    entry(keys::RULE, "priority", numbers(&limits::RULE_PRIORITY), "error".to_owned());
    let keep = numbers(&limits::LOG_ROTATE_KEEP);
    entry(keys::ACCESS_LOG, "rotate_keep", keep, limits::LOG_ROTATE_KEEP_DEFAULT.to_string());
    let listed = |statuses: &[u16]| statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    entry(keys::ERROR_PAGE, "status", listed(&limits::OWN_STATUSES), "error".to_owned());
    entry(keys::REDIRECT, "status", listed(&limits::REDIRECT_STATUSES), "error".to_owned());
    entry(keys::TARGET_GROUP, "connect_timeout", connect, shown_duration(limits::CONNECT_TIMEOUT_DEFAULT));
    entry(keys::TARGET_GROUP, "retries", count(&limits::RETRIES), limits::RETRIES_DEFAULT.to_string());
    entry(keys::HEALTH_CHECK, "interval", interval, shown_duration(limits::HEALTH_INTERVAL_DEFAULT));
    entry(keys::HEALTH_CHECK, "timeout", timeout, shown_duration(limits::HEALTH_TIMEOUT_DEFAULT));
    for key in ["healthy", "unhealthy"] {
        let default = limits::HEALTH_THRESHOLD_DEFAULT.to_string();
        entry(keys::HEALTH_CHECK, key, count(&limits::HEALTH_THRESHOLD), default);
    }
    entry(keys::TARGET, "weight", count(&limits::WEIGHT), limits::WEIGHT_DEFAULT.to_string());
}

/// The table of a section in the reference, without its head: the cells of each row.
fn rows(section: Section) -> impl Iterator<Item = Vec<&'static str>> {
    let heading = format!("# {}\n", section.title);
    let text = REFERENCE.split(heading.as_str()).nth(1).expect("the reference has the section");
    let text = text.split("\n#").next().expect("text before the next heading");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
}
