//! Calls at random, good and bad, beside a model of what they make of the balancer, and a kill of the process now and then, be it
//! in the midst of a call: nothing that was answered is lost, and nothing else is there (requirement K4).
//!
//! ```text
//!     calls.rs: Request --> the process:  status, revision, what GET shows --.
//!                 `-------> model.rs:     Expected, World -------------------+--> the same?
//! ```
//!
//! The seed is printed; `WEIR_SEED=7` takes the same calls again. Kills in the midst of a call fall otherwise each time.
//!
//! Left out, since their own tests have them: regions, networks and data centres, expiry, webhooks, groups that change hands
//! between the file and the API, files that say something else of machines.

mod calls;
mod machines;
mod model;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use self::calls::{Call, Caller, Request};
use self::machines::dotted;
use self::model::{GROUPS, MACHINE_OF_FILE, MEMBER_OF_FILE, Made, Model, TARGETS_OF_FILE};
use crate::support::admin::{self, Reply};
use crate::support::config::{Config, Group};
use crate::support::weir::Weir;

/// Of so many calls one is followed by the process's end, on the average.
const CALLS_PER_END: usize = 40;
/// Of so many calls all that is shown is looked at after one.
const CALLS_PER_LOOK: usize = 10;
/// How long a call that is killed may have been under way.
const KILLED_WITHIN_US: u64 = 6_000;
/// A call that came too soon is sent again when the answer says, so many times.
const TOO_SOON: u16 = 429;
const TRIES: usize = 30;

#[test]
fn r_k4_1000_random_calls_and_kills_leave_what_was_answered() {
    random_calls(1_000);
}

#[test]
#[ignore = "long: ./x test runs it"]
fn r_k4_10000_random_calls_and_kills_leave_what_was_answered() {
    random_calls(10_000);
}

fn random_calls(count: usize) {
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("WEIR_SEED={seed}");
    let folder = tempfile::tempdir().expect("a directory");
    let mut run = Run::start(seed, folder.path());
    for call in 0..count {
        let request = run.caller.request(&run.model);
        let what = format!("call {call}: {request:?}");
        match run.caller.random.usize(..CALLS_PER_END * 4) {
            0 => run.kill_in_the_midst_of(&request, &what),
            1 => {
                let request = run.caller.with_key(request);
                run.kill_in_the_midst_of(&request, &what);
            }
            2 => run.end_and_start("KILL", &what),
            3 => run.end_and_start("TERM", &what),
            _ => run.call(&request, &what),
        }
        if call % CALLS_PER_LOOK == 0 {
            run.look(&what);
        }
    }
    run.look("at the end");
    println!("made and refused: {:?}", run.tally);
    let made: usize = run.tally.values().map(|(made, _)| made).sum();
    assert!(made > count / 4, "most calls mean something: {:?}", run.tally);
}

struct Run {
    caller: Caller,
    model: Model,
    config: Config,
    weir: Weir,
    /// By kind of call: made, and refused. Of those that were killed: made, and not.
    tally: BTreeMap<&'static str, (usize, usize)>,
}

impl Run {
    fn start(seed: u64, state_dir: &Path) -> Self {
        let (model, config) = (Model::new(), config(state_dir));
        let weir = Weir::start(with_retries(&config, model.retries));
        Run { caller: Caller::new(seed), model, config, weir, tally: BTreeMap::new() }
    }

    fn call(&mut self, request: &Request, what: &str) {
        self.write_file(request);
        let reply = send(self.weir.config.admin, request).expect("an answer");
        let made = answered(self.model.expect(request), &reply, what);
        let tally = self.tally.entry(request.call.kind()).or_default();
        if let Some(made) = made {
            self.model.make(made);
            tally.0 += 1;
        } else {
            tally.1 += 1;
        }
    }

    /// Whoever asks gets no answer, mostly: then it is made, or it is not.
    fn kill_in_the_midst_of(&mut self, request: &Request, what: &str) {
        self.write_file(request);
        let after_us = self.caller.random.u64(..KILLED_WITHIN_US);
        let (to, weir) = (self.weir.config.admin, &mut self.weir);
        let reply = thread::scope(|scope| {
            let call = scope.spawn(|| send_once(to, request));
            thread::sleep(Duration::from_micros(after_us));
            weir.kill();
            weir.wait_for_end();
            call.join().expect("it does not panic")
        });
        let (before, retries) = (self.model.revision, self.model.retries);
        self.weir = Weir::start(with_retries(&self.config, retries));
        let expected = self.model.expect(request);
        let made = match reply {
            Ok(reply) if reply.status == TOO_SOON => None,
            Ok(reply) => answered(expected, &reply, what),
            // The start is a revision, too.
            Err(_) if self.revision() == before + 1 => None,
            Err(_) => expected.ok(),
        };
        let tally = self.tally.entry("killed").or_default();
        if let Some(made) = made {
            self.model.make(made);
            tally.0 += 1;
        } else {
            tally.1 += 1;
        }
        self.model.retries = retries;
        self.model.start();
        self.look(&format!("killed {after_us} us after {what}"));
        if request.key.is_some() {
            self.call(request, &format!("sent again, killed {after_us} us after {what}"));
        }
    }

    fn end_and_start(&mut self, signal: &str, what: &str) {
        self.weir.signal(signal);
        self.weir.wait_for_end();
        self.weir = Weir::start(with_retries(&self.config, self.model.retries));
        self.model.start();
        self.look(&format!("{signal} before {what}"));
    }

    /// A reload reads what the file says then.
    fn write_file(&self, request: &Request) {
        let text = with_retries(&self.config, request.retries).to_toml();
        let text = match request.call {
            Call::Reload => text,
            Call::ReloadOfABadFile => text.replace("retries", "retry"),
            _ => return,
        };
        std::fs::write(self.weir.config_path(), text).expect("written");
    }

    /// All that is shown, beside the model.
    fn look(&self, what: &str) {
        let Model { world, revision, .. } = &self.model;
        assert_eq!(self.revision(), *revision, "{what}");
        let mut waiting = 0;
        for (name, _) in GROUPS {
            let group = world.group(name);
            waiting += group.waiting.len();
            let expected = group.targets.into_iter().map(|target| {
                let shown = (target.kind.to_owned(), target.instance.map(Into::into), target.eni.map(Into::into));
                ((dotted(target.address), u64::from(target.port)), (u64::from(target.weight), shown))
            });
            assert_eq!(self.targets(name), expected.collect(), "targets of {name}: {what}");
        }
        let machines = world.machines().shown(&model::machines_of_file());
        assert_eq!(self.weir.json("/v1/inventory"), machines, "{what}");
        let left_out = self.weir.json("/v1/balancer")["left_out"].as_array().expect("a list").len();
        assert_eq!(left_out, waiting, "targets that wait: {what}");
        let listed = self.weir.json("/v1/revisions");
        let listed = listed["revisions"].as_array().expect("a list").iter();
        let listed: Vec<u64> = listed.map(|one| one["revision"].as_u64().expect("a number")).collect();
        assert_eq!(listed, self.model.revisions(), "{what}");
    }

    fn revision(&self) -> u64 {
        self.weir.json("/v1/balancer")["revision"].as_u64().expect("a number")
    }

    /// By address and port: weight, type and ids.
    fn targets(&self, group: &str) -> BTreeMap<(String, u64), (u64, Named)> {
        let shown = self.weir.json(&format!("/v1/target-groups/{group}/targets"));
        let text = |target: &Value, key: &str| target[key].as_str().map(str::to_owned);
        let number = |target: &Value, key: &str| target[key].as_u64().expect("a number");
        let one = |target: &Value| {
            let named = (text(target, "type").expect("a type"), text(target, "instance_id"), text(target, "eni_id"));
            let place = (text(target, "address").expect("an address"), number(target, "port"));
            (place, (number(target, "weight"), named))
        };
        shown["targets"].as_array().expect("a list").iter().map(one).collect()
    }
}

/// Type, instance and interface.
type Named = (String, Option<String>, Option<String>);

fn send(to: SocketAddr, request: &Request) -> io::Result<Reply> {
    for _ in 0..TRIES {
        let reply = send_once(to, request)?;
        if reply.status != TOO_SOON {
            return Ok(reply);
        }
        thread::sleep(reply.retry_after.expect("it says when to come again"));
    }
    Err(io::Error::other("too soon, however long one waits"))
}

fn send_once(to: SocketAddr, Request { call, key, if_revision, .. }: &Request) -> io::Result<Reply> {
    let key = key.as_ref().map(|key| format!("Idempotency-Key: {key}\r\n"));
    let if_revision = if_revision.map(|revision| format!("If-Match: {revision}\r\n"));
    let headers = [key, if_revision].into_iter().flatten().collect::<String>();
    admin::send(to, &call.line(), &headers, &call.body())
}

/// What it made, if it was to make something.
fn answered(expected: Result<Made, u16>, reply: &Reply, what: &str) -> Option<Made> {
    match expected {
        Err(status) => {
            assert_eq!(reply.status, status, "{what}: {}", reply.body);
            assert!(error_of(reply).is_object(), "{what}: {}", reply.body);
            None
        }
        Ok(made) => {
            assert_eq!(reply.status, 200, "{what}: {}", reply.body);
            assert_eq!(reply.body, json!({ "revision": made.revision }).to_string(), "{what}");
            Some(made)
        }
    }
}

fn error_of(reply: &Reply) -> Value {
    serde_json::from_str::<Value>(&reply.body).map(|mut answer| answer["error"].take()).unwrap_or_default()
}

/// An http listener before group `app`; two groups are the API's, the third and some machines the file's.
fn config(state_dir: &Path) -> Config {
    let (mut config, _) = Config::http(&[]);
    config.keys = format!("state_dir = \"{}\"", state_dir.display());
    let mut more = Group::http("more");
    "managed = \"api\"".clone_into(&mut more.keys);
    let of_file = TARGETS_OF_FILE.into_iter().fold(Group::http("files"), |group, (address, port, weight)| {
        let address = SocketAddr::from(([10, 0, 0, address], port));
        group.target(address, u8::try_from(weight).expect("a weight"))
    });
    let ((instance, address, other), (port, weight)) = (MACHINE_OF_FILE, MEMBER_OF_FILE);
    config.tables = format!(
        "[[instance]]\nid = \"{instance}\"\naddress = \"{}\"\n\
         [[eni]]\nid = \"eni-f\"\ninstance_id = \"{instance}\"\naddresses = [\"{}\"]\n\
         [[scaling_group]]\nname = \"asg-f\"\ninstances = [\"{instance}\"]\n\
         target_groups = [{{ group = \"app\", port = {port}, weight = {weight} }}]\n",
        dotted(address),
        dotted(other),
    );
    config.group(more).group(of_file).shards(1)
}

fn with_retries(config: &Config, retries: u8) -> Config {
    let mut config = config.clone();
    config.app().keys = format!("managed = \"api\"\nretries = {retries}");
    config
}
