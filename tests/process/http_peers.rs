//! Programs that people use, through an http listener: curl, wrk, h2load, Python and Chromium, in front of nginx and of Python.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::thread;

use crate::support::config::Config;
use crate::support::http_target;
use crate::support::nginx::{self, Nginx};
use crate::support::python::{self, Server};
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{http, is_installed};

/// Not a power of two, and more than any buffer has.
const BODY_BYTES: usize = 3_000_001;

/// A program of the host, stopped after a minute. `None`, and it says so, where there is none.
fn program(name: &str, arguments: &[&str]) -> Option<Output> {
    if !is_installed(name) {
        return None;
    }
    let output = Command::new("timeout").args(["60", name]).args(arguments).output().expect("timeout starts");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {arguments:?}: {}\n{said}\n{complained}", output.status);
    Some(output)
}

fn curl(to: SocketAddr, path: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    let url = format!("http://{to}{path}");
    let arguments = [&["--silent", "--show-error", "--max-time", "50", &url], arguments].concat();
    program("curl", &arguments).map(|output| output.stdout)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index * 7 % 251).unwrap_or(0)).collect()
}

/// A balancer in front of a Python target that gives back what it gets.
fn python_behind_weir() -> Option<(Weir, SocketAddr, Server)> {
    let server = Server::start(python::with("http.server")?, "server.py");
    let (config, web) = Config::http(&[server.address]);
    Some((Weir::start(config), web, server))
}

/// A balancer in front of nginx with a page of `BODY_BYTES`, one that it compresses, and keep-alive.
fn nginx_behind_weir() -> Option<(Weir, SocketAddr, Nginx)> {
    if !nginx::is_installed() {
        return None;
    }
    let nginx = Nginx::start_with("gzip on; gzip_http_version 1.0; gzip_min_length 1; gzip_types *; root html;");
    nginx.file("big.bin", &pattern(BODY_BYTES));
    nginx.file("page.html", b"<p>a page</p>\n".repeat(100).as_slice());
    let (config, web) = Config::http(&[nginx.address]);
    Some((Weir::start(config), web, nginx))
}

#[test]
fn r_p1_curl_gets_what_it_asks_for_in_every_version() {
    let Some((weir, web, nginx)) = nginx_behind_weir() else { return };
    let expected = pattern(BODY_BYTES);
    for version in ["--http1.0", "--http1.1"] {
        let Some(body) = curl(web, "/big.bin", &[version]) else { return };
        assert!(body == expected, "{version}: {} bytes", body.len());
        let head = String::from_utf8(curl(web, "/big.bin", &[version, "--head"]).expect("it is there")).expect("text");
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("Content-Length: 3000001\r\n"), "{head}");
        let part = curl(web, "/big.bin", &[version, "--range", "1000-1999"]).expect("it is there");
        assert!(part == expected[1000..2000], "{version}: a range");
    }
    // Several on one connection, and one without an answer's body.
    let second = format!("http://{web}/page.html");
    let both = curl(web, "/page.html", &["--next", "--silent", &second]).expect("it is there");
    assert_eq!(both.len(), 2 * 1400);
    assert!(weir.metric("weir_target_requests_total", &[("target", &nginx.address.to_string())]) >= 8);
}

#[test]
fn r_p1_curl_uploads_in_every_framing_and_waits_for_100_continue() {
    let Some((weir, web, _server)) = python_behind_weir() else { return };
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), pattern(BODY_BYTES)).expect("write it");
    let data = format!("@{}", file.path().display());
    let upload = ["--data-binary", &data];
    for more in [
        &["--http1.1", "--header", "Expect:"][..],
        &["--http1.0"],
        &["--http1.1", "--header", "Expect: 100-continue", "--expect100-timeout", "30"],
        &["--http1.1", "--header", "Transfer-Encoding: chunked"],
        &["--http1.1", "--header", "Transfer-Encoding: chunked", "--header", "Expect:"],
        &["--http1.1", "--request", "PUT"],
    ] {
        for path in ["/echo", "/chunked"] {
            let Some(body) = curl(web, path, &[&upload, more].concat()) else { return };
            assert!(body == pattern(BODY_BYTES), "{path} {more:?}: {} bytes", body.len());
        }
    }
    assert_eq!(weir.metric("weir_http_responses_total", &[("code_class", "2xx")]), 12);
}

/// Byte for byte what the target sends to one who asks it directly.
#[test]
fn r_p2_gzip_passes_through_unharmed_in_every_version() {
    let Some((_weir, web, nginx)) = nginx_behind_weir() else { return };
    let Some((_other, python_web, server)) = python_behind_weir() else { return };
    for (through, direct, path) in [(web, nginx.address, "/page.html"), (python_web, server.address, "/gzip")] {
        for version in ["--http1.1", "--http1.0"] {
            let arguments = [version, "--header", "Accept-Encoding: gzip"];
            let Some(as_sent) = curl(direct, path, &arguments) else { return };
            assert_eq!(curl(through, path, &arguments).expect("it is there"), as_sent, "{path} {version}");
        }
        let plain = curl(through, path, &["--compressed"]).expect("it is there");
        assert_eq!(plain, curl(direct, path, &["--compressed"]).expect("it is there"), "{path}");
    }
    let compressed = curl(web, "/page.html", &["--header", "Accept-Encoding: gzip"]).expect("it is there");
    assert_eq!(compressed[..2], [0x1f, 0x8b], "it was compressed at all");
}

#[test]
fn r_p1_wrk_and_h2load_see_no_failure() {
    let Some((weir, web, nginx)) = nginx_behind_weir() else { return };
    nginx.file("small.txt", b"small");
    let url = format!("http://{web}/small.txt");
    if let Some(output) = program("wrk", &["-t2", "-c32", "-d2s", &url]) {
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    }
    // h2load closes behind its last request.
    if let Some(output) = program("h2load", &["--h1", "-n10000", "-c32", "-t2", &url]) {
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("10000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
    }
    assert_eq!(weir.metric("weir_http_responses_total", &[("code_class", "5xx")]), 0);
    assert_eq!(
        weir.metric("weir_http_responses_total", &[("code_class", "4xx")]),
        weir.metric("weir_http_errors_total", &[("reason", "client_gone")])
    );
}

#[test]
fn r_p1_pythons_http_client_keeps_its_connection_and_sends_chunks() {
    let Some((weir, web, _server)) = python_behind_weir() else { return };
    let python = python::with("http.client").expect("the target is one");
    let (ip, port) = (web.ip().to_string(), web.port().to_string());
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| python::succeeds(python, "client.py", &[&ip, &port]));
        }
    });
    assert_eq!(weir.metric("weir_connections_accepted_total", &[]), 3, "each kept its connection");
    assert_eq!(weir.metric("weir_http_requests_total", &[]), 3 * 206);
}

#[test]
fn r_p3_the_websockets_library_talks_to_itself_through_the_balancer() {
    let Some(python) = python::with("websockets") else { return };
    let server = Server::start(python, "ws_server.py");
    let (config, web) = Config::http(&[server.address]);
    let weir = Weir::start(config);
    python::succeeds(python, "ws_client.py", &[&web.ip().to_string(), &web.port().to_string()]);
    assert_eq!(weir.metric("weir_http_upgraded_total", &[]), 10);
    weir.wait_for_connections(0);
    assert_eq!(weir.metric("weir_connections_closed_total", &[("reason", "completed")]), 10);
}

#[test]
fn r_p1_chromium_loads_a_page_with_all_its_parts() {
    let Some((weir, web, _server)) = python_behind_weir() else { return };
    let Some(page) = chromium(&format!("http://{web}/page")) else { return };
    for expected in ["script ran", "fetched 100000", "3 images"] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    // Page, style, script, three images, the upload; an icon, perhaps.
    assert!(weir.metric("weir_http_requests_total", &[]) >= 7);
    assert_eq!(weir.metric("weir_http_responses_total", &[("code_class", "5xx")]), 0);
}

#[test]
fn r_p1_chromium_loads_a_page_of_nginx() {
    let Some((_weir, web, nginx)) = nginx_behind_weir() else { return };
    nginx.file("index.html", b"<title>it</title><p id=a>no script</p><script src=s.js></script><img src=p.svg onload=\"b.textContent='a picture'\"><p id=b>");
    nginx.file("s.js", b"a.textContent = 'script ran'");
    nginx.file("p.svg", b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>");
    let Some(page) = chromium(&format!("http://{web}/")) else { return };
    assert!(page.contains("script ran") && page.contains("a picture"), "{page}");
}

/// The page as it is once everything has loaded.
fn chromium(url: &str) -> Option<String> {
    let home = tempfile::tempdir().expect("a directory");
    let data = format!("--user-data-dir={}", home.path().display());
    let mut arguments = vec!["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
    arguments.extend(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    arguments.extend(["--disable-dev-shm-usage", "--virtual-time-budget=20000", &data, "--dump-dom", url]);
    let output = program("chromium", &arguments)?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Targets that end a response with their connection, and clients that do not know chunks: each gets what it can read.
#[test]
fn r_p1_clients_of_1_0_and_1_1_read_every_framing_of_a_target() {
    const CLOSE: &[u8] = b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nwith the connection";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwith \r\n6\r\nchunks\r\n0\r\n\r\n";
    let target = Target::start(http_target::serve(|request| match request.path() {
        "/close" => CLOSE.to_vec(),
        "/chunked" => CHUNKED.to_vec(),
        _ => http_target::ok("with a length"),
    }));
    let (config, web) = Config::http(&[target.address]);
    let _weir = Weir::start(config);
    for (path, expected) in
        [("/close", "with the connection"), ("/chunked", "with chunks"), ("/length", "with a length")]
    {
        for version in ["1.0", "1.1"] {
            let request = format!("GET {path} HTTP/{version}\r\nHost: a.example\r\n\r\n");
            let answer = http::ask(web, &request).expect("an answer");
            assert_eq!((answer.status(), answer.text().as_str()), (200, expected), "{path} {version}");
            assert!(
                version == "1.1" || answer.value("transfer-encoding").is_empty(),
                "1.0 knows no chunks: {answer:?}"
            );
            assert!(answer.line.starts_with("HTTP/1.1 "), "{}", answer.line);
        }
    }
}
