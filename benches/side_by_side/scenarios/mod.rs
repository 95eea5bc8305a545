//! What is measured: the table of scenarios. A new one is an entry here; a new kind of work is a file beside this.
//!
//! Each scenario has cases, each case one table: every peer loaded in turn, in the rounds of `session`.

pub mod half_load;
pub mod idle;
pub mod reload;
pub mod steady;

use crate::load::{Ask, Load, Reuse, SMALL};
use crate::measured::{Figure, Unit};
use crate::peers::{Duty, Kind, NO_TCP_PROXY};

/// One thing to know of a balancer.
pub struct Scenario {
    pub name: &'static str,
    pub group: Group,
    pub duty: Duty,
    /// Above its tables and its panel of the chart.
    pub title: &'static str,
    /// What CPU is counted by.
    pub unit: Unit,
    pub work: Work,
    /// What the chart's bars are relative to.
    pub base: Base,
    /// Columns of the table. Ratios are of the first one.
    pub figures: &'static [Figure],
    pub cases: &'static [Case],
    /// Who cannot take part, and why.
    pub absent: &'static [(Kind, &'static str)],
}

/// Scenarios that belong together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Group {
    L4,
    L7,
}

/// What a ratio is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Where the floor is the cheapest way to do the work: it is written for small messages, not for bulk.
    Floor,
    BestPeer,
}

/// How a turn goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// The load of the case, as it is.
    Steady,
    /// The load of the case at half of what the slowest can.
    HalfLoad,
    /// The load of the case while the peer reloads again and again.
    Reload,
    /// The connections of the case, each idle after one request.
    Idle,
}

/// One table.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub load: Load,
}

impl Scenario {
    /// Why this kind is not in the tables, if it is not.
    pub fn why_absent(&self, kind: Kind) -> Option<&'static str> {
        let of_group = self.group.absent().iter();
        of_group.chain(self.absent).find(|(absent, _)| *absent == kind).map(|(_, why)| *why)
    }

    /// Loads on a schedule, which not every generator can give.
    pub fn needs_open_loop(&self) -> bool {
        self.work == Work::HalfLoad || self.cases.iter().any(|case| case.load.rate.is_some())
    }
}

impl Group {
    const ALL: [Self; 2] = [Self::L4, Self::L7];

    fn name(self) -> &'static str {
        match self {
            Self::L4 => "l4",
            Self::L7 => "l7",
        }
    }

    fn absent(self) -> &'static [(Kind, &'static str)] {
        match self {
            Self::L4 => &[(Kind::H2o, NO_TCP_PROXY)],
            Self::L7 => &[],
        }
    }
}

/// Words for the command line: scenarios, groups, and all of them.
pub fn words() -> Vec<&'static str> {
    let groups = Group::ALL.map(Group::name);
    SCENARIOS.iter().map(|scenario| scenario.name).chain(groups).chain([ALL]).collect()
}

/// In the order of the table, each once.
pub fn select(words: &[String]) -> Vec<&'static Scenario> {
    let asked = |scenario: &Scenario| {
        words.iter().any(|word| word == scenario.name || word == scenario.group.name() || word == ALL)
    };
    SCENARIOS.iter().filter(|scenario| asked(scenario)).collect()
}

/// For `--help`.
pub fn help() -> String {
    let line = |name: &str, what: &str| format!("  {name:14} {what}\n");
    let scenarios: String = SCENARIOS.iter().map(|scenario| line(scenario.name, scenario.title)).collect();
    let groups: String =
        Group::ALL.iter().map(|group| line(group.name(), &format!("all of {}", group.name().to_uppercase()))).collect();
    format!("Scenarios:\n{scenarios}{groups}{}", line(ALL, "everything").trim_end())
}

const ALL: &str = "all";

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

const SMALL_KEPT: &[Case] =
    &[kept("16 connections", 16, SMALL), kept("64 connections", 64, SMALL), kept("256 connections", 256, SMALL)];

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "keepalive",
        group: Group::L4,
        duty: Duty::Relay,
        title: "Small requests on kept connections",
        unit: Unit::Request,
        work: Work::Steady,
        base: Base::Floor,
        figures: STEADY,
        cases: SMALL_KEPT,
        absent: &[],
    },
    Scenario {
        name: "connect",
        group: Group::L4,
        duty: Duty::Relay,
        title: "A connection for each request",
        unit: Unit::Connection,
        work: Work::Steady,
        base: Base::Floor,
        figures: STEADY,
        cases: &[once("64 at a time", 64)],
        absent: &[],
    },
    Scenario {
        name: "bulk",
        group: Group::L4,
        duty: Duty::Relay,
        title: "Bulk answers on 16 kept connections",
        unit: Unit::Mib,
        work: Work::Steady,
        base: Base::BestPeer,
        figures: STEADY,
        cases: &[kept("64 KiB", 16, 64 * KIB), kept("1 MiB", 16, MIB), kept("10 MiB", 16, 10 * MIB)],
        absent: &[],
    },
    Scenario {
        name: "idle",
        group: Group::L4,
        duty: Duty::Relay,
        title: "Idle connections, one request each before",
        unit: Unit::Request,
        work: Work::Idle,
        base: Base::BestPeer,
        figures: IDLE,
        cases: &[kept("9,000 connections", 9_000, SMALL)],
        absent: &[(Kind::Floor, FLOOR_FULL)],
    },
    Scenario {
        name: "half-load",
        group: Group::L4,
        duty: Duty::Relay,
        title: "Latency at half load, open loop",
        unit: Unit::Request,
        work: Work::HalfLoad,
        base: Base::BestPeer,
        figures: &[Figure::P99_9, Figure::P50, Figure::P99, Figure::Max, Figure::Cpu],
        cases: &[kept("64 connections", 64, SMALL)],
        absent: &[],
    },
    Scenario {
        name: "reload",
        group: Group::L4,
        duty: Duty::Relay,
        title: "A reload every 500 ms under load, open loop",
        unit: Unit::Request,
        work: Work::Reload,
        base: Base::BestPeer,
        figures: &[Figure::P99, Figure::Failed, Figure::Reloads, Figure::Max, Figure::Cpu, Figure::Rss],
        cases: &[
            paced(kept("kept, 10,000 requests/s", 64, SMALL), 10_000.0),
            paced(once("new, 2,000 connections/s", 64), 2_000.0),
        ],
        absent: &[(Kind::Floor, "has no config to reload"), (Kind::Envoy, "reads a static config once, at its start")],
    },
    Scenario {
        name: "http-keepalive",
        group: Group::L7,
        duty: Duty::Http,
        title: "HTTP: small requests on kept connections",
        unit: Unit::Request,
        work: Work::Steady,
        base: Base::Floor,
        figures: STEADY,
        cases: SMALL_KEPT,
        absent: &[],
    },
    Scenario {
        name: "http-connect",
        group: Group::L7,
        duty: Duty::Http,
        title: "HTTP: a client connection for each request",
        unit: Unit::Connection,
        work: Work::Steady,
        base: Base::Floor,
        figures: STEADY,
        cases: &[once("64 at a time", 64)],
        absent: &[],
    },
    Scenario {
        name: "http-bulk",
        group: Group::L7,
        duty: Duty::Http,
        title: "HTTP: bulk answers on 16 kept connections",
        unit: Unit::Mib,
        work: Work::Steady,
        base: Base::BestPeer,
        figures: STEADY,
        cases: &[kept("1 MiB", 16, MIB)],
        absent: &[],
    },
    Scenario {
        name: "http-upload",
        group: Group::L7,
        duty: Duty::Http,
        title: "HTTP: POST on 16 kept connections",
        unit: Unit::Mib,
        work: Work::Steady,
        base: Base::BestPeer,
        figures: STEADY,
        cases: &[asking("64 KiB", 16, Ask::Post(64 * KIB))],
        absent: &[],
    },
    Scenario {
        name: "http-rules",
        group: Group::L7,
        duty: Duty::HttpRules,
        title: "HTTP: 1,000 rules over 200 hosts",
        unit: Unit::Request,
        work: Work::Steady,
        base: Base::BestPeer,
        figures: STEADY,
        cases: &[asking("64 connections", 64, Ask::Ruled)],
        absent: &[(Kind::Floor, "has no rules")],
    },
    Scenario {
        name: "http-logged",
        group: Group::L7,
        duty: Duty::HttpLogged,
        title: "HTTP: a line in the access log for each request",
        unit: Unit::Request,
        work: Work::Steady,
        base: Base::BestPeer,
        figures: STEADY,
        cases: &[kept("64 connections", 64, SMALL)],
        absent: &[
            (Kind::Floor, "keeps no log"),
            (Kind::Haproxy, "logs to a syslog daemon, whose part would not be counted"),
        ],
    },
    Scenario {
        name: "http-idle",
        group: Group::L7,
        duty: Duty::Http,
        title: "HTTP: idle client connections, one request each before",
        unit: Unit::Request,
        work: Work::Idle,
        base: Base::BestPeer,
        figures: IDLE,
        cases: &[kept("9,000 connections", 9_000, SMALL)],
        absent: &[(Kind::Floor, FLOOR_FULL)],
    },
];

/// Columns of work that is done as fast as it goes.
const STEADY: &[Figure] = &[Figure::Cpu, Figure::Rate, Figure::P50, Figure::P99, Figure::Rss];
const IDLE: &[Figure] = &[Figure::MemoryPerConnection, Figure::CoreShare, Figure::RssStart, Figure::Rss];
const FLOOR_FULL: &str = "has room for 4,096 connections, all of it taken at its start";

const fn asking(name: &'static str, connections: u32, ask: Ask) -> Case {
    Case { name, load: Load { connections, ask, reuse: Reuse::Kept, rate: None } }
}

const fn kept(name: &'static str, connections: u32, answer_bytes: u64) -> Case {
    asking(name, connections, Ask::Get(answer_bytes))
}

const fn once(name: &'static str, connections: u32) -> Case {
    let kept = kept(name, connections, SMALL);
    Case { name, load: Load { reuse: Reuse::Once, ..kept.load } }
}

const fn paced(case: Case, rate: f64) -> Case {
    Case { name: case.name, load: Load { rate: Some(rate), ..case.load } }
}
