//! One rule of a security group, as written.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

/// What a rule does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is let in.
    Accept,
    /// It is not.
    Drop,
}

impl Action {
    /// As written in the config, in metric labels and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Accept => "accept",
            Action::Drop => "drop",
        }
    }
}

/// What carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// As written in the config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        }
    }
}

/// One rule: what is done with whose connections to which ports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// What is done.
    pub action: Action,
    /// Networks, one of which the client is in; empty: anyone. A network of one family holds nobody of the other.
    pub sources: Vec<IpNet>,
    /// `None`: TCP and UDP.
    pub transport: Option<Transport>,
    /// The listener's port is in one of these; empty: any port.
    pub ports: Vec<RangeInclusive<u16>>,
}

impl Rule {
    /// Whether it says anything about connections to a listener there.
    #[must_use]
    pub fn is_about_port(&self, transport: Transport, port: u16) -> bool {
        self.transport.is_none_or(|own| own == transport)
            && (self.ports.is_empty() || self.ports.iter().any(|ports| ports.contains(&port)))
    }

    /// Whether it says anything about this client, whose address is IPv4 where it is that in IPv6 form.
    #[must_use]
    pub fn is_about_client(&self, client: IpAddr) -> bool {
        self.sources.is_empty() || self.sources.iter().any(|network| network.contains(&client))
    }

    /// `ports` as the config writes them.
    #[must_use]
    pub fn ports_text(&self) -> String {
        if self.ports.is_empty() {
            return ALL_PORTS.to_owned();
        }
        let ports: Vec<String> = self.ports.iter().map(|ports| Ports(ports).to_string()).collect();
        ports.join(",")
    }
}

/// How the config writes all ports, as CLB does.
pub const ALL_PORTS: &str = "ALL";

struct Ports<'p>(&'p RangeInclusive<u16>);

impl fmt::Display for Ports<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.0.start(), self.0.end());
        if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
    }
}
