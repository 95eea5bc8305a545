//! The rules of the scenario that has many: 1,000 over 200 hosts, each a host and a prefix of the path, and a URL for each of them.
//! A path that is not among them gets a 404, so a rule that is not found fails a request.

/// Hosts, and rules for each.
pub const HOSTS: usize = 200;
pub const RULES_A_HOST: usize = 5;

/// `host017.example`.
pub fn hosts() -> impl Iterator<Item = String> {
    (0..HOSTS).map(|host| format!("host{host:03}.example"))
}

/// `/service3/`: everything below it is the rule's.
pub fn prefixes() -> impl Iterator<Item = String> {
    (0..RULES_A_HOST).map(|service| format!("/service{service}/"))
}

/// Host and prefix of each.
pub fn rules() -> impl Iterator<Item = (String, String)> {
    hosts().flat_map(|host| prefixes().map(move |prefix| (host.clone(), prefix)))
}

/// One that each rule holds for.
pub fn urls() -> impl Iterator<Item = String> {
    rules().map(|(host, prefix)| format!("http://{host}{prefix}{ITEM}"))
}

/// Where a request of such a URL goes: host and path.
pub fn first() -> (String, String) {
    let (host, prefix) = rules().next().unwrap_or_default();
    (host, prefix + ITEM)
}

const ITEM: &str = "items/1";
