//! The webhook of scaling groups: what a receiver sees when targets die.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};

use crate::support::config::{Config, QUICK_CHECK};
use crate::support::http::Message;
use crate::support::http_target::{Received, response, serve};
use crate::support::target::Target;
use crate::support::weir::Weir;
use crate::support::{client, eventually, handlers, place, python, wait_until};

const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Two targets on two instances, `ins-1` and `ins-2`, behind one listener.
struct Machines {
    targets: [Target; 2],
    key: NamedTempFile,
}

impl Machines {
    fn start() -> Self {
        let target = |last| Target::start_at(place::free_on(Ipv4Addr::new(127, 202, 0, last)), handlers::identify("a"));
        let key = NamedTempFile::new().expect("a file");
        fs::write(key.path(), format!("{KEY}\n")).expect("the key");
        fs::set_permissions(key.path(), fs::Permissions::from_mode(0o600)).expect("its mode");
        Machines { targets: [target(1), target(2)], key }
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        self.targets.each_ref().map(|target| target.address)
    }

    fn config(&self, scaling_groups: &str) -> Config {
        let (mut config, _) = Config::relay(&self.addresses());
        config.app().check = QUICK_CHECK.into();
        config.keys = format!("webhook_key_file = \"{}\"", self.key.path().display());
        config.tables = self.tables(scaling_groups);
        config
    }

    fn tables(&self, scaling_groups: &str) -> String {
        let [one, two] = self.addresses().map(|address| address.ip());
        format!(
            "[[instance]]\nid = \"ins-1\"\naddress = \"{one}\"\n[[instance]]\nid = \"ins-2\"\naddress = \"{two}\"\n\
             {scaling_groups}"
        )
    }

    /// A scaling group of one instance.
    fn scaling_group(&self, name: &str, instance: usize, keys: &str) -> String {
        let port = self.targets[instance - 1].address.port();
        format!(
            "[[scaling_group]]\nname = \"{name}\"\ninstances = [\"ins-{instance}\"]\n\
             target_groups = [{{ group = \"app\", port = {port} }}]\n{keys}\n"
        )
    }

    fn wait_until_healthy(&self, weir: &Weir) {
        self.addresses().iter().for_each(|address| weir.wait_for_state("app", *address, "healthy"));
    }
}

#[test]
fn r_g9_the_inventory_shows_where_a_webhook_leads_and_not_what_may_be_its_secret() {
    let machines = Machines::start();
    let (file, api) = ("https://autoscaler.internal:8443", "http://[fd00::1]");
    let keys = format!("health_type = \"elb\"\nwebhook = \"{file}/hooks/T0k3n?key=T0k3n\"");
    let state_dir = tempfile::tempdir().expect("a directory");
    let mut config = machines.config(&machines.scaling_group("asg-f", 1, &keys));
    let state_dir_key = format!("\nstate_dir = \"{}\"", state_dir.path().display());
    config.keys += &state_dir_key;
    let weir = Weir::start(config);
    let group = json!({ "health_type": "elb", "webhook": format!("{api}/T0k3n") });
    weir.send("PUT /v1/scaling-groups/asg-a", &group);
    let shown = weir.json("/v1/inventory");
    assert!(!shown.to_string().contains("T0k3n"), "{shown}");
    let webhooks: Vec<&Value> =
        shown["scaling_groups"].as_array().expect("a list").iter().map(|group| &group["webhook"]).collect();
    assert_eq!(webhooks, [api, file], "{shown}");
    // Nothing else of it went.
    assert_eq!(weir.send("PUT /v1/scaling-groups/asg-a", &group), 2);
}

fn elb(webhook: SocketAddr) -> String {
    format!("health_type = \"elb\"\nwebhook = \"http://{webhook}/weir\"")
}

/// A receiver that answers with these statuses, and then with 204; and what it got.
fn receiver(refusals: &'static [&'static str]) -> (Target, Received) {
    let received = Received::default();
    let (kept, count) = (Arc::clone(&received), AtomicUsize::new(0));
    let handler = serve(move |request| {
        kept.lock().expect("no panic under it").push(request.clone());
        let status = refusals.get(count.fetch_add(1, Ordering::Relaxed));
        response(status.unwrap_or(&"204 No Content"), "Connection: close\r\n", "")
    });
    (Target::start(handler), received)
}

fn all(received: &Received) -> Vec<Message> {
    received.lock().expect("no panic under it").clone()
}

fn body(message: &Message) -> Value {
    serde_json::from_slice(&message.body).expect("JSON")
}

fn delivered(weir: &Weir, scaling_group: &str) -> usize {
    weir.metric("weir_webhook_delivered_total", &[("scaling_group", scaling_group)])
}

#[test]
fn r_g9_a_target_that_dies_is_reported_until_the_webhook_takes_it_and_then_no_more() {
    let mut machines = Machines::start();
    let (webhook, received) = receiver(&["500 Internal Server Error", "503 Service Unavailable"]);
    let groups = machines.scaling_group("asg", 1, &elb(webhook.address));
    let weir = Weir::start(machines.config(&groups));
    machines.wait_until_healthy(&weir);
    machines.targets[0].stop();
    wait_until("the report is delivered", || delivered(&weir, "asg") == 1);

    let messages = all(&received);
    let [first, second, third] = messages.as_slice() else { panic!("three attempts: {messages:?}") };
    assert_eq!((first.line.as_str(), first.value("content-type")), ("POST /weir HTTP/1.1", "application/json"));
    assert!([second, third].iter().all(|again| again.value("webhook-id") == first.value("webhook-id")));
    assert!([second, third].iter().all(|again| again.body == first.body), "it says what was");
    let report = body(third);
    assert_eq!(report["type"], "target.unhealthy");
    let data = &report["data"];
    let [dead, _] = machines.addresses();
    assert_eq!((&data["instance_id"], &data["target_group"]), (&json!("ins-1"), &json!("app")));
    assert_eq!((&data["scaling_group"], &data["balancer"]), (&json!("asg"), &json!("test")));
    assert_eq!((&data["target"], &data["failure"]), (&json!(dead.to_string()), &json!("refused")));
    assert_eq!(data["reason"], weir.health("app", dead)["reason"], "as the API says");
    assert_eq!((&data["targets"], &data["targets_healthy"]), (&json!(2), &json!(1)));
    let metric = |name: &str, reason: &str| weir.metric(name, &[("scaling_group", "asg"), ("reason", reason)]);
    assert_eq!(metric("weir_webhook_attempts_failed_total", "status"), 2);
    weir.says("it answered 500; the next attempt is in");
    weir.says("the webhook takes reports again");

    // It comes back, the other one dies with it the next time: one report each.
    machines.targets[0].listen();
    machines.wait_until_healthy(&weir);
    machines.targets.iter_mut().for_each(Target::stop);
    wait_until("both are reported", || delivered(&weir, "asg") == 2 && all(&received).len() == 4);
    let latest = body(&all(&received)[3]);
    assert_eq!(latest["data"]["instance_id"], "ins-1", "the other is in no scaling group");
    assert_ne!(all(&received)[3].value("webhook-id"), first.value("webhook-id"));
}

#[test]
fn r_g9_with_health_type_instance_nothing_is_reported() {
    let mut machines = Machines::start();
    let (webhook, received) = receiver(&[]);
    let second = machines.scaling_group("asg-2", 2, &elb(webhook.address));
    let of_instances = machines.scaling_group("asg-1", 1, "health_type = \"instance\"");
    let mut weir = Weir::start(machines.config(&format!("{of_instances}{second}")));
    machines.wait_until_healthy(&weir);
    machines.targets[0].stop();
    weir.wait_for_state("app", machines.addresses()[0], "unhealthy");
    machines.targets[1].stop();
    wait_until("the other one is reported", || delivered(&weir, "asg-2") == 1);
    let instances =
        || all(&received).iter().map(|message| body(message)["data"]["instance_id"].clone()).collect::<Vec<_>>();
    assert_eq!(instances(), vec![json!("ins-2")]);
    assert_eq!(weir.metrics().find("weir_webhook_reports_total", &[("scaling_group", "asg-1")]), None);

    let first = machines.scaling_group("asg-1", 1, &elb(webhook.address));
    let tables = machines.tables(&format!("{first}{second}"));
    weir.change(|config| config.tables = tables);
    wait_until("what is unhealthy when it comes to elb is reported", || delivered(&weir, "asg-1") == 1);
    assert_eq!(instances(), vec![json!("ins-2"), json!("ins-1")], "and what was reported is not again");
}

#[test]
fn r_g9_a_webhook_that_hangs_holds_up_no_other_and_what_waits_goes_to_the_new_url() {
    let mut machines = Machines::start();
    let (hangs, hanging) = handlers::hand_over();
    let hangs = Target::start(hangs);
    let (webhook, received) = receiver(&[]);
    let groups = |first: SocketAddr| {
        machines.scaling_group("asg-1", 1, &elb(first)) + &machines.scaling_group("asg-2", 2, &elb(webhook.address))
    };
    let (before, after) = (groups(hangs.address), machines.tables(&groups(webhook.address)));
    let mut weir = Weir::start(machines.config(&before));
    machines.wait_until_healthy(&weir);
    machines.targets[0].stop();
    let _open = hanging.recv_timeout(crate::support::PATIENCE).expect("an attempt");
    machines.targets[1].stop();
    wait_until("the other webhook gets its report", || delivered(&weir, "asg-2") == 1);
    assert_eq!(weir.get("/readyz").expect("an answer").status, 200);
    assert_eq!(weir.metric("weir_webhook_reports_waiting", &[("scaling_group", "asg-1")]), 1);
    let timeout = [("scaling_group", "asg-1"), ("reason", "timeout")];
    wait_until("the attempt is given up", || weir.metric("weir_webhook_attempts_failed_total", &timeout) > 0);
    weir.change(|config| config.tables = after);
    wait_until("the new webhook gets the report", || delivered(&weir, "asg-1") == 1);
    let groups: Vec<Value> =
        all(&received).iter().map(|message| body(message)["data"]["scaling_group"].clone()).collect();
    assert_eq!(groups, ["asg-2", "asg-1"]);
}

#[test]
fn r_g9_a_stop_says_how_many_reports_it_leaves_and_a_start_reports_what_is_still_unhealthy() {
    let mut machines = Machines::start();
    machines.targets[0].stop();
    let nobody = place::free();
    let config = machines.config(&machines.scaling_group("asg", 1, &elb(nobody)));
    let mut weir = Weir::start(config.clone());
    let refused = [("scaling_group", "asg"), ("reason", "connect")];
    wait_until("an attempt fails", || weir.metric("weir_webhook_attempts_failed_total", &refused) > 0);
    weir.signal("TERM");
    assert!(weir.wait_for_end().success());
    weir.says("not delivered to webhooks: weir stops");

    let received = Received::default();
    let kept = Arc::clone(&received);
    let _webhook = Target::start_at(
        nobody,
        serve(move |request| {
            kept.lock().expect("no panic under it").push(request.clone());
            response("200 OK", "Connection: close\r\n", "")
        }),
    );
    let weir = Weir::start(config);
    wait_until("it is reported", || delivered(&weir, "asg") == 1);
    assert_eq!(body(&all(&received)[0])["data"]["instance_id"], "ins-1");
}

#[test]
fn r_g9_the_guides_receiver_takes_a_report_for_genuine_and_no_other() {
    let Some(python) = python::with("hmac") else { return };
    let mut machines = Machines::start();
    let (webhook, received) = receiver(&[]);
    let weir = Weir::start(machines.config(&machines.scaling_group("asg", 1, &elb(webhook.address))));
    machines.wait_until_healthy(&weir);
    machines.targets[0].stop();
    wait_until("it is reported", || delivered(&weir, "asg") == 1);
    let message = all(&received).remove(0);
    let headers: Value = message.fields.iter().map(|(name, value)| (name.to_lowercase(), json!(value))).collect();

    let guide = include_str!("../../docs/webhook.md");
    let code = guide.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("code");
    let ask = "import json, sys\nasked = json.load(sys.stdin)\n\
               print(is_genuine(asked['key'], asked['headers'], asked['body'].encode()))\n";
    let program = format!("{code}\n{ask}");
    let is_genuine = |key: &str, headers: &Value, body: &str| {
        let asked = json!({ "key": key, "headers": headers, "body": body }).to_string();
        let file = NamedTempFile::new().expect("a file");
        fs::write(file.path(), asked).expect("the question");
        let stdin = Stdio::from(file.reopen().expect("it is there"));
        let output = Command::new(python).args(["-c", &program]).stdin(stdin).output().expect("python starts");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        match said.trim() {
            "True" => true,
            "False" => false,
            other => panic!("{other}"),
        }
    };
    let text = message.text();
    assert!(is_genuine(KEY, &headers, &text));
    assert!(!is_genuine(KEY, &headers, &text.replace("ins-1", "ins-2")), "the body is signed");
    assert!(!is_genuine(&KEY.replace('C', "D"), &headers, &text), "by this key");
    let mut other = headers.clone();
    other["webhook-id"] = json!("msg_0");
    assert!(!is_genuine(KEY, &other, &text), "so is the id");
    let mut old = headers.clone();
    old["webhook-timestamp"] = json!("1700000000");
    assert!(!is_genuine(KEY, &old, &text), "and the time");
}

/// A receiver behind TLS: takes every report.
const TLS_RECEIVER: &str = "
import http.server, ssl, sys
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers['content-length']))
        self.send_response(204)
        self.end_headers()
folder, ip, port = sys.argv[1:]
server = http.server.ThreadingHTTPServer((ip, int(port)), Receiver)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + '/cert.pem', folder + '/key.pem')
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
";

/// Makes `cert.pem` and `key.pem` of a server at this address; whether openssl is there.
fn certificate(folder: &Path, address: SocketAddr) -> bool {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=receiver", "-addext", "basicConstraints=critical,CA:FALSE", "-addext"])
        .arg(format!("subjectAltName=IP:{}", address.ip()))
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .stderr(Stdio::null())
        .status();
    made.is_ok_and(|status| status.success())
}

#[test]
fn r_g9_a_report_goes_by_https_to_a_receiver_whose_certificate_this_host_trusts() {
    let Some(python) = python::with("ssl") else { return };
    let (folder, others) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let address = place::free();
    if !certificate(folder.path(), address) || !certificate(others.path(), address) {
        println!("skipped: openssl is not installed");
        return;
    }
    let arguments = [&folder.path().display().to_string(), &address.ip().to_string(), &address.port().to_string()];
    let mut receiver = Command::new(python);
    let receiver = receiver.args(["-c", TLS_RECEIVER]).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    let receiver = Killed(Mutex::new(receiver.spawn().expect("python starts")));
    wait_until("the receiver listens", || client::connect(address).is_ok());

    let mut machines = Machines::start();
    let keys = format!("health_type = \"elb\"\nwebhook = \"https://{address}/weir\"");
    let config = machines.config(&machines.scaling_group("asg", 1, &keys));
    let trusted = others.path().join("cert.pem");
    let weir = Weir::start_under(&["env", &format!("SSL_CERT_FILE={}", trusted.display())], config, &[]);
    machines.wait_until_healthy(&weir);
    machines.targets[0].stop();
    let untrusted = [("scaling_group", "asg"), ("reason", "tls")];
    wait_until("it is not trusted", || weir.metric("weir_webhook_attempts_failed_total", &untrusted) > 0);
    assert_eq!(delivered(&weir, "asg"), 0);
    fs::copy(folder.path().join("cert.pem"), &trusted).expect("it is trusted from now on");
    eventually("it is delivered", || (delivered(&weir, "asg") == 1).then_some(()));
    drop(receiver);
}

/// A program that ends with the test.
struct Killed(Mutex<std::process::Child>);

impl Drop for Killed {
    fn drop(&mut self) {
        let mut process = self.0.lock().expect("no panic under it");
        let _ = process.kill();
        let _ = process.wait();
    }
}
