//! Who is measured, and each of them as a process that answers.
//!
//! Every peer is one thread (or one worker) on core 0, in the configuration its own documents recommend for this work: no
//! logs, room for many connections, `TCP_NODELAY` on. One file a peer holds that configuration.

mod envoy;
mod floor;
mod haproxy;
mod nginx;
mod weir;

use std::fs::{rename, write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;
use serde::Serialize;

use crate::ending::Result;
use crate::proc;
use crate::process::{Process, find_program, free_ports, version};

/// Who may take part, in the order of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Weir,
    Floor,
    Nginx,
    Haproxy,
    Envoy,
    H2o,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir",
            Self::Floor => "floor",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::H2o => "h2o",
        }
    }

    /// A balancer that others wrote, for ours to be compared with.
    pub fn is_peer(self) -> bool {
        !matches!(self, Self::Weir | Self::Floor)
    }

    /// The package of ours that builds it.
    pub fn package(self) -> Option<&'static str> {
        match self {
            Self::Weir => Some("weir"),
            Self::Floor => Some("weir-floor"),
            Self::Nginx | Self::Haproxy | Self::Envoy | Self::H2o => None,
        }
    }

    /// Envoy goes by the ending.
    fn config_file(self) -> &'static str {
        match self {
            Self::Weir => "weir.toml",
            Self::Floor => "floor",
            Self::Nginx => "nginx.conf",
            Self::Haproxy => "haproxy.cfg",
            Self::Envoy => "envoy.yaml",
            Self::H2o => "h2o.conf",
        }
    }

    /// How one asks it to read its config again, where it can.
    fn reload_signal(self) -> Option<Signal> {
        match self {
            Self::Weir | Self::Nginx => Some(Signal::HUP),
            Self::Haproxy => Some(Signal::USR2),
            Self::Floor | Self::Envoy | Self::H2o => None,
        }
    }

    fn find_program(self, release: &Path) -> Option<PathBuf> {
        let ours = |name: &str| Some(release.join(name)).filter(|path| path.is_file());
        match self {
            Self::Weir => ours("weir"),
            Self::Floor => ours("weir-floor"),
            Self::Envoy => envoy::find_program(release),
            Self::Nginx | Self::Haproxy | Self::H2o => find_program(self.name()),
        }
    }

    fn version(self, program: &Path) -> String {
        match self {
            Self::Weir => version(program, "--version"),
            Self::Envoy => envoy::version(program),
            Self::Floor => "bare ring, this tree".to_owned(),
            Self::Nginx | Self::Haproxy | Self::H2o => version(program, "-v"),
        }
    }
}

/// What all peers of a run have in common.
pub struct Ground {
    /// Configs and logs.
    pub dir: PathBuf,
    pub target_port: u16,
}

/// A program of this machine that can be started as a balancer.
pub struct Contender {
    pub kind: Kind,
    pub version: String,
    program: PathBuf,
}

impl Contender {
    /// `None` when it is not on this machine.
    pub fn find(kind: Kind, release: &Path) -> Option<Self> {
        let program = kind.find_program(release)?;
        Some(Self { kind, version: kind.version(&program), program })
    }

    /// As a relay of TCP, when it answers.
    pub fn start(&self, ground: &Ground) -> Result<Peer> {
        let [port, admin_port] = free_ports()?;
        let config = ground.dir.join(self.kind.config_file());
        let place = Place { dir: ground.dir.clone(), config, port, admin_port, target_port: ground.target_port };
        write(&place.config, place.text(self.kind, WEIGHTS[0])?)?;
        let command = match self.kind {
            Kind::Weir => weir::command(&self.program, &place),
            Kind::Floor => floor::command(&self.program, &place),
            Kind::Nginx => nginx::command(&self.program, &place),
            Kind::Haproxy => haproxy::command(&self.program, &place),
            Kind::Envoy => envoy::command(&self.program, &place),
            Kind::H2o => return Err(NO_TCP_PROXY.into()),
        };
        let mut process = Process::start(self.kind.name(), command, &ground.dir)?;
        process.answers(port)?;
        Ok(Peer { kind: self.kind, port, process, place, reloads: AtomicUsize::new(0) })
    }
}

/// A balancer that answers.
pub struct Peer {
    pub kind: Kind,
    pub port: u16,
    process: Process,
    place: Place,
    reloads: AtomicUsize,
}

impl Peer {
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Tells it to read its config again, in which its target has another weight each time.
    pub fn reload(&self) -> Result<()> {
        let signal = self.kind.reload_signal().ok_or_else(|| format!("{}: cannot reload", self.kind.name()))?;
        let reloads = self.reloads.fetch_add(1, Ordering::Relaxed) + 1;
        let text = self.place.text(self.kind, WEIGHTS[reloads % WEIGHTS.len()])?;
        // It never sees half a file.
        let next = self.place.config.with_extension("next");
        write(&next, text)?;
        rename(&next, &self.place.config)?;
        self.process.signal(signal)
    }

    /// Something that differs after each reload that took effect.
    pub fn generation(&self) -> Result<String> {
        match self.kind {
            Kind::Weir => Ok(weir::reloads(&self.process.said()).to_string()),
            // A reload is new processes.
            _ => Ok(format!("{:?}", proc::tree(self.pid())?)),
        }
    }
}

/// Where a peer stands: what its config is made of.
struct Place {
    dir: PathBuf,
    config: PathBuf,
    port: u16,
    admin_port: u16,
    target_port: u16,
}

impl Place {
    fn text(&self, kind: Kind, weight: u32) -> Result<String> {
        match kind {
            Kind::Weir => Ok(weir::config(self, weight)),
            Kind::Floor => Ok(String::new()),
            Kind::Nginx => Ok(nginx::config(self, weight)),
            Kind::Haproxy => Ok(haproxy::config(self, weight)),
            Kind::Envoy => Ok(envoy::config(self)),
            Kind::H2o => Err(NO_TCP_PROXY.into()),
        }
    }
}

/// Why h2o is not in the tables of L4.
pub const NO_TCP_PROXY: &str = "has no TCP proxy";

/// Of the only target, by turns: a config that changed, and nothing that a client could see.
const WEIGHTS: [u32; 2] = [1, 2];
