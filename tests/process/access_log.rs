//! The access log of a running balancer: every connection has its line, whatever is renamed, reloaded or stopped meanwhile.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::config::Config;
use crate::support::load::Load;
use crate::support::target::Target;
use crate::support::weir::{Reload, Weir};
use crate::support::{client, handlers, wait_until};

#[test]
fn r_m3_logrotate_reloads_and_a_stop_under_load_lose_no_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("access.log");
    let targets = ["a", "b"].map(|name| Target::start(handlers::identify(name)));
    let (mut config, web) = Config::relay(&targets.each_ref().map(|target| target.address));
    config.access_log = Some(path.clone());
    let mut weir = Weir::start(config);
    let load = Load::start(web, 400, client::ask);
    for round in 0..10 {
        load.wait_for(40);
        fs::rename(&path, directory.path().join(format!("access.log-{round}"))).expect("there is a file");
        let text = weir.config.to_toml();
        // SIGHUP opens the file anew, also with a config that is refused.
        let (text, outcome) =
            if round == 5 { (format!("{text}\n[x"), Reload::Rejected) } else { (text, Reload::Applied) };
        assert_eq!(weir.reload(&text), outcome);
        wait_until("there is a new file", || path.exists());
    }
    let outcome = load.stop();
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures.first());
    // The connections may be closed on the other side only.
    weir.wait_for_connections(0);
    weir.signal("TERM");
    assert!(weir.wait_for_end().success());

    let mut lines = Vec::new();
    for file in fs::read_dir(directory.path()).expect("our own directory") {
        lines.extend(lines_of(&file.expect("readable").path()));
    }
    assert_eq!(lines.len(), outcome.answers.values().sum::<usize>(), "a line each");
    for line in &lines {
        assert_eq!([&line["type"], &line["balancer"], &line["listener"]], ["tcp", "test", "web"]);
        assert_eq!((&line["sent_bytes"], &line["reason"]), (&1.into(), &Value::Null), "{line}");
    }
}

#[test]
fn r_m3_a_full_disk_is_in_the_log_and_the_metrics_and_clients_do_not_notice() {
    let target = Target::start(handlers::identify("a"));
    let (mut config, web) = Config::relay(&[target.address]);
    config.access_log = Some("/dev/full".into());
    let weir = Weir::start(config);
    for _ in 0..20 {
        assert_eq!(client::ask(web).expect("an answer"), "a");
    }
    let dropped = || weir.metric("weir_access_log_dropped_total", &[("reason", "write_failed")]);
    wait_until("the lines are counted", || dropped() == 20);
    assert_eq!(weir.metric("weir_access_log_records_total", &[]), 20);
    assert!((1..=20).contains(&weir.metric("weir_access_log_write_errors_total", &[])));
    let log = weir.log();
    assert_eq!(log.matches("lines are lost until this is mended: make room on the disk").count(), 1, "{log}");
}

#[test]
fn r_m3_an_access_log_that_cannot_be_opened_is_a_refused_reload() {
    let target = Target::start(handlers::identify("a"));
    let (config, web) = Config::relay(&[target.address]);
    let mut weir = Weir::start(config);
    let wrong = Config { access_log: Some("/nonexistent/access.log".into()), ..weir.config.clone() };
    assert_eq!(weir.reload(&wrong.to_toml()), Reload::Rejected);
    weir.says("make its directory, or give [access_log] another path");
    assert_eq!(client::ask(web).expect("an answer"), "a");
}

fn lines_of(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("a log");
    text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
}
