//! The admin endpoint over https: who gets in, who does not, and certificates that are renewed while it runs.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::config::Config;
use crate::support::tls::{self, FAR, Issuer};
use crate::support::weir::{BINARY, Reload, Weir, run};
use crate::support::{admin, client, place, proc, wait_until, write_secret};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A balancer whose endpoint speaks https.
fn weir(issuer: &Issuer) -> Weir {
    let (mut config, _) = Config::relay(&[]);
    issuer.certify(&mut config);
    Weir::start(config)
}

fn curl(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "30", "--noproxy", "*"]).args(arguments).arg(url);
    command.output().expect("curl is installed")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn r_m1_curl_reads_the_metrics_over_https_of_whom_it_trusts_and_of_nobody_else() {
    let (issuer, stranger) = (Issuer::new(), Issuer::new());
    let (mut config, _) = Config::relay(&[]);
    write_secret(issuer.path("token"), TOKEN);
    config.admin_keys = format!("token_file = \"{}\"", issuer.path("token").display());
    issuer.certify(&mut config);
    let weir = Weir::start(config);
    let url = format!("https://{}/metrics", weir.config.admin);
    let path = |path: &Path| path.display().to_string();
    let (trusted, untrusted) = (path(&issuer.file()), path(&stranger.file()));
    let bearer = format!("Authorization: Bearer {TOKEN}");

    for version in ["1.2", "1.3"] {
        let arguments = ["--cacert", &trusted, "-H", &bearer, "--tls-max", version, "-w", "%{http_version}"];
        let output = curl(&url, &arguments);
        let said = text(&output.stdout);
        assert!(
            said.contains("\nweir_admin_certificate_expiry_timestamp_seconds 4133894400") && said.ends_with("1.1"),
            "{}{said}",
            text(&output.stderr)
        );
    }
    let output = curl(&url, &["--cacert", &trusted, "-w", "%{http_code}"]);
    assert!(text(&output.stdout).ends_with("401"), "the token is asked for over https, too");
    for arguments in [&["--cacert", &untrusted][..], &[]] {
        let output = curl(&url, &[arguments, &["-H", &bearer]].concat());
        // 35 where an issuer of that name is known with another key.
        let refused = matches!(output.status.code(), Some(35 | 60)) && output.stdout.is_empty();
        assert!(refused, "{:?} {}{}", output.status, text(&output.stdout), text(&output.stderr));
    }
}

#[test]
fn tls_1_1_and_older_are_refused_by_the_admin_endpoint() {
    let issuer = Issuer::new();
    let weir = weir(&issuer);
    let with = |version: &str| {
        let to = weir.config.admin.to_string();
        let mut command = Command::new("openssl");
        // What openssl itself no longer does by default it still does at level 0.
        command.args(["s_client", "-connect", &to, version, "-cipher", "DEFAULT@SECLEVEL=0", "-brief"]);
        let output = command.stdin(std::process::Stdio::null()).output().expect("openssl is installed");
        text(&output.stderr)
    };
    for version in ["-tls1", "-tls1_1"] {
        let said = with(version);
        let refused = ["alert protocol version", "alert handshake failure"].iter().any(|alert| said.contains(alert));
        assert!(refused && !said.contains("CONNECTION ESTABLISHED"), "{version}: {said}");
    }
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = with(version);
        assert!(said.contains("CONNECTION ESTABLISHED") && said.contains(name), "{version}: {said}");
    }
}

#[test]
fn whoever_speaks_http_to_a_port_of_https_is_told_so_and_gets_nothing() {
    let issuer = Issuer::new();
    let weir = weir(&issuer);
    for path in ["/", "/livez", "/metrics", "/v1/balancer", "/nothing"] {
        let reply = admin::get(weir.config.admin, path).expect("an answer");
        assert_eq!(reply.status, 400, "{path}");
        assert!(
            reply.body.contains("\"bad_request\"") && reply.body.contains("this port speaks https"),
            "{}",
            reply.body
        );
        assert!(!reply.body.contains("test"), "the balancer's name: {}", reply.body);
    }
    let reply = admin::send(weir.config.admin, "POST /v1/reload", "", "{}").expect("an answer");
    assert_eq!(reply.status, 400);
    assert_eq!(weir.json("/v1/revisions")["revisions"].as_array().map(Vec::len), Some(1), "nothing was reloaded");

    for no_hello in [&b""[..], b"\x00", b"\x16\x03\x01\x00\x05hello", b"\xff\xff\xff\xff", b"\x16\x02\x00\x40\x00"] {
        let mut stream = client::connect(weir.config.admin).expect("it listens");
        stream.write_all(no_hello).expect("it reads");
        stream.shutdown(std::net::Shutdown::Write).expect("half of it");
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() <= 7, "an alert at most: {}", answer.escape_ascii());
    }
    assert_eq!(weir.get("/readyz").expect("an answer").status, 200);
}

#[test]
fn r_k1_a_renewed_certificate_is_taken_by_a_reload_and_a_bad_one_leaves_the_one_before() {
    let issuer = Issuer::new();
    let mut weir = weir(&issuer);
    let (address, name) = (weir.config.admin, weir.config.admin.ip().to_string());
    let shown = |weir: &Weir| tls::shown(&tls::connect(weir.config.admin, &issuer.file()).expect("a handshake"));
    let first = shown(&weir);
    let mut old = tls::connect(address, &issuer.file()).expect("a handshake");
    let ask = |stream: &mut tls::Https| {
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n").expect("it reads");
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).expect("it answers");
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    };
    ask(&mut old);

    issuer.issue(&name, FAR);
    assert_eq!(shown(&weir), first, "it is not looked at before a reload");
    let text = weir.config.to_toml();
    assert_eq!(weir.reload(&text), Reload::Applied);
    let second = shown(&weir);
    assert_ne!(second, first);
    let revisions = weir.json("/v1/revisions");
    assert_eq!(revisions["revisions"][1]["what"][0], "certificate_file of [admin]: changed", "{revisions}");
    let mut rest = [0; 4096];
    assert!(old.read(&mut rest).expect("it is still there") > 0, "the rest of the first answer");
    ask(&mut old);

    // By the API, too, and nothing to restart for.
    issuer.issue(&name, FAR);
    let reloaded = curl(
        &format!("https://{address}/v1/reload"),
        &["--cacert", &issuer.file().display().to_string(), "-X", "POST", "-w", "%{http_code}"],
    );
    assert!(self::text(&reloaded.stdout).ends_with("200"), "{}", self::text(&reloaded.stdout));
    let third = shown(&weir);
    assert_ne!(third, second);
    assert!(!weir.log().contains("restart weir"), "{}", weir.log());

    // A key of another certificate.
    let key = fs::read(issuer.path("admin.key")).expect("the key");
    issuer.issue(&name, FAR);
    fs::write(issuer.path("admin.key"), key).expect("write the key");
    assert_eq!(weir.reload(&text), Reload::Rejected);
    weir.says("[admin]: key_file");
    weir.says("the key does not fit the certificate");
    assert_eq!(shown(&weir), third);
    // One that has expired is taken, and said: the operator asked for it.
    issuer.issue(&name, 1999);
    assert_eq!(weir_check(&weir), (Some(0), true));
}

/// What `weir check` ends with, and whether it warns of an expired certificate.
fn weir_check(weir: &Weir) -> (Option<i32>, bool) {
    let output = run(&["check", "--config", &weir.config_path().display().to_string()]);
    let said = text(&output.stdout);
    let warns =
        said.lines().any(|line| line.starts_with("warning: ") && line.contains("expired at 1999-12-31T00:00:00Z"));
    (output.status.code(), warns)
}

#[test]
fn a_key_that_every_account_may_read_is_refused() {
    let issuer = Issuer::new();
    let (mut config, _) = Config::relay(&[]);
    issuer.certify(&mut config);
    let path = issuer.path("weir.toml");
    fs::write(&path, config.to_toml()).expect("write the config");
    let check = || run(&["check", "--config", &path.display().to_string()]);
    assert_eq!(check().status.code(), Some(0));
    fs::set_permissions(issuer.path("admin.key"), fs::Permissions::from_mode(0o644)).expect("chmod");
    for output in [check(), run(&["run", "--config", &path.display().to_string()])] {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("[admin]: key_file: ") && said.contains("(mode 0644)") && said.contains("chmod 640"),
            "{said}"
        );
    }
}

#[test]
fn a_token_that_would_cross_a_network_in_the_clear_is_a_warning_of_check_and_of_the_log() {
    let issuer = Issuer::new();
    write_secret(issuer.path("token"), TOKEN);
    let (mut config, _) = Config::relay(&[]);
    config.admin = SocketAddr::from(([0, 0, 0, 0], config.admin.port()));
    config.admin_keys = format!("token_file = \"{}\"", issuer.path("token").display());
    let says = "the token is sent in the clear; add certificate_file and key_file";
    let weir = Weir::start(config);
    let output = run(&["check", "--config", &weir.config_path().display().to_string()]);
    let said = text(&output.stdout);
    assert!(said.starts_with("warning: ") && said.contains(says) && said.contains("\nOK: "), "{said}");
    weir.says(says);
    assert_eq!(weir.log().matches(says).count(), 1, "{}", weir.log());
}

fn ask(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(BINARY);
    command.args(arguments);
    command.env_remove("WEIR_ADMIN").env_remove("WEIR_TOKEN_FILE").env_remove("WEIR_CA_FILE");
    let output = command.output().expect("weir starts");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_commands_speak_https_to_whom_they_trust() {
    let issuer = Issuer::new();
    let weir = weir(&issuer);
    let (https, ca) = (format!("https://{}", weir.config.admin), issuer.file().display().to_string());
    let (code, said, trouble) = ask(&["status", "--admin", &https, "--ca-file", &ca]);
    assert!(code == Some(0) && said.starts_with("test: serving, ready"), "{said}{trouble}");
    let by_environment = Command::new(BINARY)
        .arg("revisions")
        .env("WEIR_ADMIN", format!("{https}/"))
        .env("WEIR_CA_FILE", &ca)
        .env_remove("WEIR_TOKEN_FILE")
        .output();
    let by_environment = by_environment.expect("weir starts");
    assert!(text(&by_environment.stdout).contains("start"), "{}", text(&by_environment.stderr));
    // The certificate that an endpoint issued for itself is its own issuer's.
    let system = Command::new(BINARY)
        .args(["status", "--admin", &https])
        .env("SSL_CERT_FILE", &ca)
        .env_remove("SSL_CERT_DIR")
        .env_remove("WEIR_CA_FILE")
        .output();
    let system = system.expect("weir starts");
    assert!(text(&system.stdout).starts_with("test: "), "the system's issuers: {}", text(&system.stderr));
}

#[test]
fn a_command_says_why_it_does_not_trust_or_cannot_speak_and_how_to_mend_it() {
    let (issuer, stranger) = (Issuer::new(), Issuer::new());
    let weir = weir(&issuer);
    let address = weir.config.admin.to_string();
    let (https, ca) = (format!("https://{address}"), issuer.file().display().to_string());
    let other = stranger.file().display().to_string();
    let refused = |arguments: &[&str], exit: i32, words: &[&str]| {
        let (code, said, trouble) = ask(&[&["status"], arguments].concat());
        assert_eq!((code, said.as_str()), (Some(exit), ""), "{arguments:?}: {trouble}");
        words.iter().for_each(|word| assert!(trouble.contains(word), "{arguments:?}: {word}: {trouble}"));
    };
    for arguments in [&["--admin", &https][..], &["--admin", &https, "--ca-file", &other]] {
        refused(arguments, 3, &[&https, "of an issuer that is not trusted here", "--ca-file"]);
    }
    refused(&["--admin", &address], 1, &["this port speaks https", "https://"]);
    refused(&["--admin", &address, "--ca-file", &ca], 1, &[&format!("write --admin {https}"), "WEIR_CA_FILE"]);
    let key = issuer.path("admin.key").display().to_string();
    refused(&["--admin", &https, "--ca-file", &key], 1, &["holds no certificate in PEM"]);
    refused(&["--admin", &https, "--ca-file", "/nowhere/ca.pem"], 1, &["/nowhere/ca.pem", "No such file"]);

    let reloaded_with = |weir: &Weir, name: &str, last_year: i32| {
        issuer.issue(name, last_year);
        let text = weir.config.to_toml();
        weir.write_and_signal(&text);
        let expected = if last_year == FAR { "is not for" } else { "expired" };
        wait_until("the certificate is another", || {
            ask(&["status", "--admin", &https, "--ca-file", &ca]).2.contains(expected)
        });
    };
    reloaded_with(&weir, "edge-1.example.com", FAR);
    let words = ["its certificate is not for", "edge-1.example.com", "subjectAltName"];
    refused(&["--admin", &https, "--ca-file", &ca], 3, &words);
    reloaded_with(&weir, &weir.config.admin.ip().to_string(), 1999);
    refused(
        &["--admin", &https, "--ca-file", &ca],
        3,
        &["its certificate expired at 1999-12-31T00:00:00Z", "renew it"],
    );

    let (config, _) = Config::relay(&[]);
    let plain = Weir::start(config);
    let https = format!("https://{}", plain.config.admin);
    let words =
        [&format!("cannot connect to {https}"), "it does not speak https", &format!("--admin {}", plain.config.admin)];
    refused(&["--admin", &https, "--ca-file", &ca], 3, &words);
    let nobody = format!("https://{}", place::free());
    refused(&["--admin", &nobody, "--ca-file", &ca], 3, &["is weir running"]);
}

/// docs/config.md makes a certificate, docs/api.md and docs/commands.md ask with it, as a reader would paste it.
#[test]
fn the_examples_of_the_guides_for_https_work() {
    let example = |page: &str, word: &str| {
        let mut blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        blocks.find(|block| block.contains(word)).unwrap_or_else(|| panic!("no example with {word}")).to_owned()
    };
    let folder = tempfile::tempdir().expect("a directory");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (mut config, _) = Config::relay(&[]);
    let to = config.admin.to_string();
    let shell = |script: &str| {
        let output = Command::new("sh").args(["-ec", script]).current_dir(folder.path()).output().expect("sh");
        assert!(output.status.success(), "{script}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let make = example(include_str!("../../docs/config.md"), "openssl req");
    shell(&make.replace("IP:10.0.0.1", &format!("IP:{}", config.admin.ip())));
    write_secret(path("token"), TOKEN);
    config.admin_keys = format!(
        "certificate_file = \"{}\"\nkey_file = \"{}\"\ntoken_file = \"{}\"",
        path("admin.pem"),
        path("admin.key"),
        path("token")
    );
    config.admin_issuer = Some(folder.path().join("admin.pem"));
    let _weir = Weir::start(config);

    let here = |text: &str| text.replace("/etc/weir", &path("")).replace("10.0.0.1:9900", &to);
    let curl = here(&example(include_str!("../../docs/api.md"), "--cacert")).replace("curl ", "curl -sSf ");
    assert!(shell(&curl).contains("\"target_groups\""), "{curl}");
    let commands = example(include_str!("../../docs/commands.md"), "--ca-file");
    let line = commands.lines().find(|line| line.contains("--ca-file")).expect("the line with it");
    let line = here(line);
    let (code, said, trouble) = ask(&line.split(' ').skip(1).collect::<Vec<_>>());
    assert!(code == Some(0) && said.starts_with("test: serving"), "{line}: {said}{trouble}");
}

/// As many as have a place at once, each with as much of a hello as is kept, and then silent.
#[test]
fn handshakes_that_stall_are_held_at_little_memory() {
    let issuer = Issuer::new();
    let weir = weir(&issuer);
    let before = proc::resident_bytes(weir.pid());
    // A hello of 65,535 bytes, cut into records of 16 KiB (RFC 8446, 4 and 5.1).
    let mut bytes = Vec::new();
    let hello = [&[1, 0, 0xff, 0xff][..], &vec![0; 4 * 16_000]].concat();
    for record in hello.chunks(16_000) {
        bytes.extend(
            [&[0x16, 3, 1][..], &u16::try_from(record.len()).expect("it is short").to_be_bytes(), record].concat(),
        );
    }
    let stalled: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = client::connect(weir.config.admin).expect("a place, or the backlog");
            // It may have been refused for what it says.
            let _ = stream.write_all(&bytes);
            stream
        })
        .collect();
    let grown = || proc::resident_bytes(weir.pid()).saturating_sub(before);
    for _ in 0..20 {
        assert!(grown() < 16 << 20, "{} KiB more", grown() >> 10);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(stalled);
    assert_eq!(weir.get("/readyz").expect("an answer").status, 200);
}
