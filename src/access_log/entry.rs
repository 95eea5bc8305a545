//! What a line of the access log tells, as its caller has it: borrowed, nothing formatted.

use std::net::SocketAddr;

/// One request, or one relayed connection. Every text that a client or target sent is bytes; empty means there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When it ended: microseconds since 1970. ALB: when the response was made; of a WebSocket, when it was closed.
    pub ended_at_us: u64,
    /// How long it lasted, in microseconds. When it began is `ended_at_us` less this.
    pub lasted_us: u64,
    /// `[balancer] name`.
    pub balancer: &'a str,
    /// The listener's name.
    pub listener: &'a str,
    /// Who connected.
    pub client: SocketAddr,
    /// Number of the client's connection on its shard: every line of one connection has the same.
    pub connection: u64,
    /// The target group's name; empty when no group was chosen.
    pub target_group: &'a str,
    /// Targets that were tried before in vain, in order. `MISSED_MAX` are kept.
    pub missed: &'a [SocketAddr],
    /// The target that got it; `None` when none did.
    pub target: Option<SocketAddr>,
    /// Bytes received from the client: of a request with its head, of a WebSocket or a connection all of them.
    pub received_bytes: u64,
    /// Bytes sent to the client, likewise.
    pub sent_bytes: u64,
    /// Microseconds from its beginning until a target was first tried; `None` when none was.
    pub queue_us: Option<u64>,
    /// Microseconds that it took to get a connection to a target, failed attempts included: 0 for one that was kept alive. `None` when none was had.
    pub connect_us: Option<u64>,
    /// Microseconds from its beginning to the target's first byte; `None` when none came.
    pub first_byte_us: Option<u64>,
    /// Why it did not end as it should, a word of a closed set such as `header_timeout`; empty when it did.
    pub reason: &'a str,
    /// Which of the two it is.
    pub what: What<'a>,
}

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it lives for one call, and most are requests")]
pub enum What<'a> {
    /// A connection of an L4 listener.
    Connection,
    /// A request of an L7 listener.
    Request(Request<'a>),
}

/// What a request has besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// How it came.
    pub kind: Kind,
    /// Its number on its connection, from 1.
    pub number: u32,
    /// Its request line.
    pub line: Line<'a>,
    /// Host that it named, without port; empty when it named none.
    pub host: &'a [u8],
    /// The listener's port.
    pub port: u16,
    /// Status of the response, also one that nobody got any more: ALB's 460. `None` when there was none.
    pub status: Option<u16>,
    /// The target's status; `None` when it sent none.
    pub target_status: Option<u16>,
    /// ALB's `request_processing_time`, in microseconds: from its beginning until it was sent to the target. `None` is ALB's
    /// -1: it was not sent (malformed, say), or the target did not answer before it closed or the time was over.
    pub request_us: Option<u64>,
    /// ALB's `target_processing_time`: from then until the response's head began. `None` as above.
    pub target_us: Option<u64>,
    /// ALB's `response_processing_time`: from then until the response began to be sent to the client. `None` as above.
    pub response_us: Option<u64>,
    /// `User-Agent`.
    pub user_agent: &'a [u8],
    /// `X-Amzn-Trace-Id` as the target got it.
    pub trace_id: &'a [u8],
    /// Name that the client asked for in its TLS handshake.
    pub domain_name: &'a [u8],
    /// The rule that was applied.
    pub rule: Rule,
    /// What the rule made of it; `None` when no rule was reached.
    pub action: Option<Action>,
    /// `Location` of a redirect of the rule's.
    pub redirect_url: &'a [u8],
    /// ALB's class of a request that is not quite HTTP, such as `Ambiguous`; empty for one that is.
    pub classification: &'a str,
    /// Why that class: ALB's word, such as `AmbiguousUri`.
    pub classification_reason: &'a str,
    /// Host after a rewrite that changed it.
    pub transformed_host: &'a [u8],
    /// Path and query after a rewrite that changed them.
    pub transformed_uri: &'a [u8],
    /// How the rewrite went, ALB's word such as `TransformSuccess`; empty when the rule has none.
    pub transform_status: &'a str,
}

/// A request line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// As it was understood.
    Parsed {
        /// Method.
        method: &'a [u8],
        /// Path and query, as the client sent them; or another form of it, such as `http://host/path` or `*`.
        uri: &'a [u8],
        /// `HTTP/1.1`, say.
        version: &'a str,
    },
    /// As far as it came: it was not understood. ALB's format has no place for it, JSON has.
    Raw(&'a [u8]),
}

/// ALB's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// HTTP/1 without TLS.
    Http,
    /// A WebSocket without TLS: one line, when it is closed.
    WebSocket,
}

impl Kind {
    /// As ALB writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Http => "http",
            Kind::WebSocket => "ws",
        }
    }

    /// Scheme of the URL.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Kind::Http | Kind::WebSocket => "http",
        }
    }
}

/// ALB's `matched_rule_priority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// No rule was reached: the request was refused before. ALB's `-`.
    None,
    /// Its evaluation failed. ALB's -1.
    Failed,
    /// The default action. ALB's 0.
    Default,
    /// The rule of this priority.
    Priority(u16),
}

/// ALB's `actions_executed`, those that we have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It went to a target.
    Forward,
    /// It was answered with another place.
    Redirect,
    /// It was answered.
    FixedResponse,
}

impl Action {
    /// As ALB writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Forward => "forward",
            Action::Redirect => "redirect",
            Action::FixedResponse => "fixed-response",
        }
    }
}

/// Most targets of `missed`; of more the first are left out. Ours: the first attempt and the most `retries` that the config allows.
pub const MISSED_MAX: usize = 11;

/// Where a text is cut, in bytes. What is longer loses its end; it is cut nowhere else, but for syslog (syslog.rs).
pub mod limits {
    /// Names of the config and words of closed sets, none of which is longer.
    pub const NAME: usize = 255;
    /// A method. Ours: those of the IANA registry have 17 at most.
    pub const METHOD: usize = 64;
    /// A host: 253 of a name (RFC 1035 2.3.4) and a little.
    pub const HOST: usize = 255;
    /// Path and query, or a request line: ALB takes no longer one.
    pub const URI: usize = 16 << 10;
    /// `User-Agent`. ALB.
    pub const USER_AGENT: usize = 8 << 10;
    /// `X-Amzn-Trace-Id`. Ours: a root and some parents.
    pub const TRACE_ID: usize = 1 << 10;
    /// `Location`. Ours.
    pub const REDIRECT_URL: usize = 8 << 10;
}
