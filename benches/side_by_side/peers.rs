//! Who is measured, how each is configured, and the guard that ends each process we started.
//!
//! Every peer is one thread (or one worker) on core 0, in the configuration its own documents recommend for this work: no
//! logs, room for many connections, `TCP_NODELAY` on. The targets are one nginx on core 1.

use std::fs::{File, write};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::{Result, go_on};

/// Where the balancers run, one loaded at a time.
pub const BALANCER_CORE: usize = 0;
/// Where targets and load run.
pub const TARGET_CORE: usize = 1;

/// Who may take part, in the order of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Weir,
    Floor,
    Nginx,
    Haproxy,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir",
            Self::Floor => "floor",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    /// The package of ours that builds it.
    pub fn package(self) -> Option<&'static str> {
        match self {
            Self::Weir => Some("weir"),
            Self::Floor => Some("weir-floor"),
            Self::Nginx | Self::Haproxy => None,
        }
    }

    fn program(self, release: &Path) -> Option<PathBuf> {
        match self {
            Self::Nginx | Self::Haproxy => find_program(self.name()),
            Self::Weir => Some(release.join("weir")).filter(|path| path.exists()),
            Self::Floor => Some(release.join("weir-floor")).filter(|path| path.exists()),
        }
    }
}

/// A balancer that answers.
pub struct Peer {
    pub kind: Kind,
    pub version: String,
    pub port: u16,
    process: Process,
}

impl Peer {
    /// `None` when it is not on this machine.
    pub fn start(kind: Kind, dir: &Path, release: &Path, target: &Target) -> Result<Option<Self>> {
        let Some(program) = kind.program(release) else { return Ok(None) };
        let [port, admin_port] = free_ports()?;
        let config = dir.join(format!("{}.conf", kind.name()));
        let mut command = pinned(BALANCER_CORE, &program);
        let text = match kind {
            Kind::Weir => weir_config(port, admin_port, target.port),
            Kind::Floor => String::new(),
            Kind::Nginx => nginx_stream_config(dir, port, target.port),
            Kind::Haproxy => haproxy_config(port, target.port),
        };
        write(&config, text)?;
        match kind {
            Kind::Weir => command.args(["run", "--config"]).arg(&config),
            Kind::Floor => command
                .args(["--listen", &format!("127.0.0.1:{port}"), "--target", &format!("127.0.0.1:{}", target.port)])
                .args(["--core", &BALANCER_CORE.to_string()]),
            Kind::Nginx => nginx_args(&mut command, dir, &config),
            Kind::Haproxy => command.args(["-db", "-f"]).arg(&config),
        };
        let process = Process::start(kind.name(), command, dir)?;
        process.answers(port)?;
        Ok(Some(Self { kind, version: version(kind, &program), port, process }))
    }

    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }
}

/// The targets: one nginx that answers every request with the same small body.
pub struct Target {
    pub port: u16,
    _process: Process,
}

impl Target {
    pub fn start(dir: &Path) -> Result<Self> {
        let program =
            find_program("nginx").ok_or("nginx: not installed; the targets need it: apt-get install nginx")?;
        let [port] = free_ports()?;
        let config = dir.join("target.conf");
        write(&config, nginx_target_config(dir, port))?;
        let mut command = pinned(TARGET_CORE, &program);
        nginx_args(&mut command, dir, &config);
        let process = Process::start("target", command, dir)?;
        process.answers(port)?;
        Ok(Self { port, _process: process })
    }
}

/// A child and its log; told to end, then made to, when dropped.
struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(name: &'static str, mut command: Command, dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().map_err(|error| format!("{name}: {}: {error}", command.get_program().display()))?;
        Ok(Self { name, child, log })
    }

    /// Waits until a request through this port comes back answered.
    fn answers(&self, port: u16) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            go_on()?;
            if request(port).is_ok_and(|reply| reply.contains(BODY)) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        Err(format!("{}: no answer on port {port} within {START_TIMEOUT:?}; it said:\n{log}", self.name).into())
    }
}

impl Drop for Process {
    /// A master that is killed outright leaves its workers behind, so it is asked first.
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command bound to one core; taskset becomes the program, so the pid is the program's.
pub fn pinned(core: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// Looks in PATH, and where daemons live, which is not in everybody's PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(daemons).map(|dir| dir.join(name)).find(|program| program.is_file())
}

fn version(kind: Kind, program: &Path) -> String {
    let flag = if kind.package().is_some() { "--version" } else { "-v" };
    if kind == Kind::Floor {
        return "bare ring, this tree".to_owned();
    }
    let Ok(output) = Command::new(program).arg(flag).output() else { return "unknown".to_owned() };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").to_owned()
}

/// Ports nobody listens on, all different: they are held until the last is known.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

fn request(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}

fn nginx_args<'command>(command: &'command mut Command, dir: &Path, config: &Path) -> &'command mut Command {
    command.arg("-p").arg(dir).arg("-c").arg(config).args(["-e", "stderr"])
}

fn nginx_common(dir: &Path, name: &str) -> String {
    format!(
        "daemon off; worker_processes 1; pid {dir}/{name}.pid; error_log stderr crit;\n\
         events {{ worker_connections {CONNECTIONS_MAX}; multi_accept on; }}\n",
        dir = dir.display()
    )
}

fn nginx_target_config(dir: &Path, port: u16) -> String {
    let common = nginx_common(dir, "target");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("  {what}_temp_path {}/{what};\n", dir.display()))
        .concat();
    format!(
        "{common}http {{\n{temporary}  access_log off; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 1h;\n  \
         server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 \"{BODY}\"; }} }}\n}}\n"
    )
}

fn nginx_stream_config(dir: &Path, port: u16, target_port: u16) -> String {
    let common = nginx_common(dir, "stream");
    // Debian builds stream as a module, others build it in.
    let load = Some("/usr/lib/nginx/modules/ngx_stream_module.so").filter(|path| Path::new(path).exists());
    let load = load.map(|path| format!("load_module {path};\n")).unwrap_or_default();
    format!(
        "{load}{common}stream {{\n  access_log off; tcp_nodelay on;\n  upstream app {{ server 127.0.0.1:{target_port}; }}\n  \
         server {{ listen 127.0.0.1:{port} reuseport backlog=4096; proxy_pass app; }}\n}}\n"
    )
}

fn haproxy_config(port: u16, target_port: u16) -> String {
    format!(
        "global\n  nbthread 1\n  maxconn {HAPROXY_CONNECTIONS_MAX}\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
         frontend tcp\n  bind 127.0.0.1:{port} backlog 4096\n  default_backend app\n\
         backend app\n  server app 127.0.0.1:{target_port}\n"
    )
}

fn weir_config(port: u16, admin_port: u16, target_port: u16) -> String {
    format!(
        r#"[balancer]
name = "bench"
allow_public_targets = true
[shards]
cores = [{BALANCER_CORE}]
[admin]
listen = "127.0.0.1:{admin_port}"
[[listener]]
name = "tcp"
protocol = "tcp"
address = "127.0.0.1:{port}"
default_action = {{ forward = "app" }}
[[target_group]]
name = "app"
protocol = "tcp"
health_check = {{ protocol = "none" }}
  [[target_group.target]]
  type = "cvm"
  address = "127.0.0.1"
  port = {target_port}
"#
    )
}

/// What every target answers; with its head about as long as a small API reply.
const BODY: &str = "served by a target of the benchmark";
const CONNECTIONS_MAX: u32 = 20_000;
/// Two descriptors a connection, below the common limit of 20,000.
const HAPROXY_CONNECTIONS_MAX: u32 = 9_000;
const START_TIMEOUT: Duration = Duration::from_secs(10);
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
