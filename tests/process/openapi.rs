//! The admin API against its own description: thousands of requests that are as described, and as many that are not, and no
//! answer that is not described (requirement G10).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::admin;
use crate::support::config::{Config, Group, NO_CHECK, QUICK_CHECK};
use crate::support::weir::{BINARY, Weir};
use crate::support::{place, write_secret};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Requests of a kind for each operation. There are several kinds.
const EXAMPLES: &str = "40";
/// Of a run, in seconds: many times what one takes, so that a request that hangs is seen.
const RUN_LIMIT: &str = "300";
/// Warnings of schemathesis are about its own data, not about the API.
const OPTIONS: [&str; 8] =
    ["--checks", "all", "--max-examples", EXAMPLES, "--continue-on-failure", "--no-color", "--warnings", "off"];

/// One of those that `./x test` installs. Says so if it is not there.
fn tool(name: &str) -> Option<PathBuf> {
    let build = Path::new(BINARY).parent().and_then(Path::parent).expect("the build's folder");
    let answers = |program: &PathBuf| {
        let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    let found = [build.join("schemathesis/bin").join(name), name.into()].into_iter().find(answers);
    if found.is_none() {
        println!("skipped: {name} is not installed: ./x test does that");
    }
    found
}

/// A balancer with something of everything in it. No target gets a request: nobody uses its listeners.
fn rich(folder: &Path) -> Config {
    let (mut config, _) = Config::http(&[]);
    config.keys = format!(
        "state_dir = \"{}\"\nregion = \"north\"\nzone = \"north-1\"\ncross_network = true\nsnat_addresses = \"127.0.0.9\"\n\
         security_group = [{{ action = \"accept\", source = \"127.0.0.0/8\" }}]",
        folder.display()
    );
    config.tables = "[[instance]]\nid = \"ins-1\"\naddress = \"10.0.0.9\"\n".into();
    config.app().keys = "managed = \"api\"".into();
    config.app().check = NO_CHECK.into();
    let mut files = Group::new("files").target(place::free(), 10);
    files.check = QUICK_CHECK.into();
    config.group(files).listener("relay", place::free(), "files")
}

/// Starts one that has targets of the API's, and gives its description too, as a file.
fn start(folder: &Path, token: Option<&str>) -> (Weir, PathBuf) {
    let state_dir = folder.join("state");
    fs::create_dir(&state_dir).expect("a folder");
    let mut config = rich(&state_dir);
    let mut authorization = String::new();
    if let Some(token) = token {
        let path = folder.join("token");
        write_secret(&path, token);
        config.admin_keys = format!("token_file = \"{}\"", path.display());
        authorization = format!("Authorization: Bearer {token}\r\n");
    }
    let weir = Weir::start(config);
    let targets = json!({ "targets": [
        { "instance_id": "ins-1", "port": 80 },
        { "type": "idc", "address": "10.0.0.7", "port": 80, "weight": 0 },
    ]});
    let post = "POST /v1/target-groups/app/targets";
    let reply = admin::send(weir.config.admin, post, &authorization, &targets.to_string()).expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.body);
    let document = admin::send(weir.config.admin, "GET /v1/openapi.json", &authorization, "").expect("an answer");
    assert_eq!(document.status, 200, "{}", document.body);
    let path = folder.join("openapi.json");
    fs::write(&path, document.body).expect("written");
    (weir, path)
}

/// Runs a program to its end, which must be a good one.
fn succeeds(program: &Path, arguments: &[&str], folder: &Path) {
    let output = Command::new("timeout")
        .arg(RUN_LIMIT)
        .arg(program)
        .args(arguments)
        .current_dir(folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("timeout starts");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "{}: {}", program.display(), output.status);
}

fn nothing_is_found(token: Option<&str>, seed: &str) {
    let Some(schemathesis) = tool("schemathesis") else { return };
    let folder = tempfile::tempdir().expect("a directory");
    let (weir, document) = start(folder.path(), token);
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/schemathesis.toml");
    let place = format!("http://{}", weir.config.admin);
    let bearer = token.map(|token| format!("Authorization: Bearer {token}"));
    let mut arguments = vec!["--config-file", config.to_str().expect("UTF-8"), "run"];
    arguments.extend([document.to_str().expect("UTF-8"), "--url", &place, "--seed", seed]);
    arguments.extend(OPTIONS);
    arguments.extend(bearer.iter().flat_map(|bearer| ["--header", bearer]));
    succeeds(&schemathesis, &arguments, folder.path());
}

#[test]
fn r_g10_no_answer_of_the_api_is_other_than_described() {
    nothing_is_found(None, "1");
}

#[test]
fn r_g10_with_a_token_no_answer_of_the_api_is_other_than_described_and_no_request_without_it_passes() {
    nothing_is_found(Some(TOKEN), "2");
}

#[test]
fn r_g10_the_description_of_the_api_is_good_openapi() {
    let Some(validator) = tool("openapi-spec-validator") else { return };
    for token in [None, Some(TOKEN)] {
        let folder = tempfile::tempdir().expect("a directory");
        let (_weir, document) = start(folder.path(), token);
        succeeds(&validator, &[document.to_str().expect("UTF-8")], folder.path());
        let document: Value = serde_json::from_str(&fs::read_to_string(document).expect("it is there")).expect("JSON");
        assert_eq!(document["openapi"], "3.1.0");
    }
}
