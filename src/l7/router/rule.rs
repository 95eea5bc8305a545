//! Rules as data: what the config says, typed and checked (requirements R1, R2, R3).

use std::sync::Arc;

use ipnet::IpNet;

use crate::config::Stickiness;

/// One rule: when all conditions hold, the action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// 1 goes first; unique in its listener.
    pub priority: u16,
    /// All must hold; none holds always.
    pub conditions: Vec<Condition>,
    /// What then happens.
    pub action: Action,
}

/// A condition. Its values are alternatives: one of them must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Host of the request without port: exact, or with `*` (any characters) and `?` (one). Letters match in either case.
    Host(Vec<Arc<str>>),
    /// Path without query; letters match as written.
    Path(Vec<PathMatch>),
    /// Method, as written.
    Method(Vec<Arc<str>>),
    /// Some field of this name (in either case) has one of these values: `*`, `?`, in either case.
    Header {
        /// Its name.
        name: Arc<str>,
        /// Its values.
        values: Vec<Arc<str>>,
    },
    /// Some parameter of the query has one of these values; `key` is `None` for any key. `*`, `?`, in either case.
    Query(Vec<QueryMatch>),
    /// The client's address, as the connection says.
    SourceIp(Vec<IpNet>),
}

/// How a path matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// Exact, or with `*` and `?`: `"/img/*"`.
    Pattern(Arc<str>),
    /// This and everything that begins with it: `{ prefix = "/api/" }`.
    Prefix(Arc<str>),
    /// A regular expression that is found in it: `{ regex = "^/v[0-9]+/" }`.
    Regex(Arc<str>),
}

/// How a parameter of the query matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryMatch {
    /// Its key; `None`: any.
    pub key: Option<Arc<str>>,
    /// Its value.
    pub value: Arc<str>,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It goes to a target.
    Forward(Forward),
    /// It is answered with another place.
    Redirect(Redirect),
    /// It is answered.
    FixedResponse(FixedResponse),
}

/// To which groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// At least one.
    pub groups: Vec<WeightedGroup>,
    /// How a client stays with its group (group stickiness, requirement R3).
    pub group_stickiness: Option<Arc<Stickiness>>,
    /// Ahead of it.
    pub rewrite: Option<Rewrite>,
}

/// A group and its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightedGroup {
    /// Index into `Snapshot::groups`.
    pub group: usize,
    /// 0 to 999.
    pub weight: u16,
}

/// Where a redirect points. Each part is a template with `#{protocol} #{host} #{port} #{path} #{query}`; as the default, itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// `http`, `https` or `#{protocol}`.
    pub protocol: Arc<str>,
    /// Host.
    pub host: Arc<str>,
    /// Port. The scheme's own is not written.
    pub port: Arc<str>,
    /// Path, with its leading slash.
    pub path: Arc<str>,
    /// Query without its question mark; empty for none.
    pub query: Arc<str>,
}

/// An answer of the operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedResponse {
    /// 200 to 599.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Arc<str>,
    /// At most 1 KiB.
    pub body: Arc<str>,
}

/// What becomes of host and path ahead of a forward (ALB's transforms).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// Of the `Host`.
    pub host: Option<Replace>,
    /// Of path and query.
    pub path: Option<Replace>,
}

/// A replacement: the first match of `regex` becomes `with`, where `$1` is its first group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replace {
    /// Regular expression.
    pub regex: Arc<str>,
    /// What it becomes.
    pub with: Arc<str>,
}
