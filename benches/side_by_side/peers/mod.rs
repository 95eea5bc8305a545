//! Who is measured, and each of them as a process that answers.
//!
//! Every peer is one thread (or one worker) on core 0, in the configuration its own documents recommend for this work: no
//! logs, room for many connections, `TCP_NODELAY` on. One file a peer holds that configuration.
//!
//! In HTTP every peer speaks HTTP/1.1 to the target on connections that it keeps, and tells it who the client is: `X-Forwarded-For`
//! and `-Proto`; all but h2o, which needs a script for it, also `X-Forwarded-Port` and `X-Real-IP`.

mod envoy;
mod floor;
mod h2o;
mod haproxy;
mod nginx;
mod weir;

use std::fs::{rename, write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;
use serde::Serialize;

use crate::ending::Result;
use crate::load::rules;
use crate::proc;
use crate::process::{ANYTHING, Process, find_program, free_ports, version};

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

/// What a balancer is set up to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Relay TCP.
    Relay,
    /// Pass on HTTP, all of it to the one target.
    Http,
    /// The same by the rules of `load::rules`, and 404 for the rest.
    HttpRules,
    /// The same as `Http`, and write an access log to a file, in its usual format and as it usually is buffered.
    HttpLogged,
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

    /// When it answers.
    pub fn start(&self, ground: &Ground, duty: Duty) -> Result<Peer> {
        let [port, admin_port] = free_ports()?;
        let config = ground.dir.join(self.kind.config_file());
        let place = Place { dir: ground.dir.clone(), config, port, admin_port, target_port: ground.target_port, duty };
        write(&place.config, place.text(self.kind, WEIGHTS[0])?)?;
        if self.kind == Kind::Haproxy && duty == Duty::HttpRules {
            write(haproxy::map_file(&place), haproxy::map())?;
        }
        let command = match self.kind {
            Kind::Weir => weir::command(&self.program, &place),
            Kind::Floor => floor::command(&self.program, &place),
            Kind::Nginx => nginx::command(&self.program, &place),
            Kind::Haproxy => haproxy::command(&self.program, &place),
            Kind::Envoy => envoy::command(&self.program, &place),
            Kind::H2o => h2o::command(&self.program, &place),
        };
        let mut process = Process::start(self.kind.name(), command, &ground.dir)?;
        match duty {
            Duty::HttpRules => {
                let (host, path) = rules::first();
                process.answers(port, (&host, &path))?;
            }
            _ => process.answers(port, ANYTHING)?,
        }
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
    duty: Duty,
}

impl Place {
    fn text(&self, kind: Kind, weight: u32) -> Result<String> {
        match kind {
            Kind::Weir => Ok(weir::config(self, weight)),
            Kind::Floor => Ok(String::new()),
            Kind::Nginx => Ok(nginx::config(self, weight)),
            Kind::Haproxy => Ok(haproxy::config(self, weight)),
            Kind::Envoy => Ok(envoy::config(self)),
            Kind::H2o => h2o::config(self),
        }
    }

    /// Where it writes its access log.
    fn access_log(&self, kind: Kind) -> String {
        format!("{}/{}-access.log", self.dir.display(), kind.name())
    }
}

/// Why h2o is not in the tables of L4.
pub const NO_TCP_PROXY: &str = "has no TCP proxy";

/// Of the only target, by turns: a config that changed, and nothing that a client could see.
const WEIGHTS: [u32; 2] = [1, 2];
