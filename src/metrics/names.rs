//! Every metric: name, kind, labels and help, here and nowhere else. docs/metrics.md lists the same, and a test compares them.
//!
//! Units are base units and end the name; counters end in `_total`. No label grows with traffic: listeners, target groups
//! and targets come from the config, everything else is a closed set.

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is to Prometheus.
    pub kind: Kind,
    /// Its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

/// What a metric is to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// As of now.
    Gauge,
    /// Cumulative buckets, a sum and a count.
    Histogram,
}

impl Kind {
    /// As the text format writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

const LISTENER: &[&str] = &["listener", "protocol"];
const LISTENER_REASON: &[&str] = &["listener", "protocol", "reason"];
const RULE: &[&str] = &["rule", "action"];
const LISTENER_RULE: &[&str] = &["listener", "rule", "action"];
const HTTP: &[&str] = &["listener"];
const HTTP_CODE: &[&str] = &["listener", "code_class"];
const HTTP_REASON: &[&str] = &["listener", "reason"];
const HTTP_CLASS: &[&str] = &["listener", "class"];
const GROUP: &[&str] = &["target_group"];
const GROUP_STATE: &[&str] = &["target_group", "state"];
const TARGET: &[&str] = &["target_group", "target"];
const TARGET_REASON: &[&str] = &["target_group", "target", "reason"];
const TARGET_CODE: &[&str] = &["target_group", "target", "code_class"];
const TARGET_RESULT: &[&str] = &["target_group", "target", "result"];
const TARGET_SHARD: &[&str] = &["target_group", "target", "shard"];
const SHARD: &[&str] = &["shard"];
const SCALING_GROUP: &[&str] = &["scaling_group"];
const SCALING_GROUP_REASON: &[&str] = &["scaling_group", "reason"];

/// Declares the metrics and the list of all of them.
macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal $labels:expr, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric { name: $name, kind: Kind::$kind, labels: $labels, help: $help };
        )*
        /// Every metric, in the order of the text.
        pub const ALL: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    // Listeners, summed over shards.
    ACCEPTED: Counter "weir_connections_accepted_total" LISTENER, "Connections accepted, with those refused at once.";
    ACTIVE: Gauge "weir_connections_active" LISTENER, "Client connections open now.";
    REFUSED: Counter "weir_connections_refused_total" LISTENER_REASON, "Connections reset before a byte was read, by reason.";
    CLOSED: Counter "weir_connections_closed_total" LISTENER_REASON, "Connections closed, by reason.";
    SECURITY_GROUP: Counter "weir_security_group_connections_total" RULE, "Connections that each rule of the balancer's security group decided about, on all listeners.";
    LISTENER_SECURITY_GROUP: Counter "weir_listener_security_group_connections_total" LISTENER_RULE, "Likewise of the listener's own security group, which is asked where the balancer's accepts.";
    KERNEL_DROPS: Counter "weir_listener_kernel_drops_total" LISTENER, "Segments that the kernel has dropped for the listening sockets: the filter of the security groups did, or a full backlog. Begins at 0 when the address is bound anew.";
    ACCEPT_ERRORS: Counter "weir_accept_errors_total" LISTENER, "Failed calls of accept, such as for want of a descriptor.";
    LISTENER_BOUND: Gauge "weir_listener_bound" LISTENER, "1 if the listener accepts on every shard: its target group has a target and nothing drains.";
    LISTENER_CLIENT_BYTES: Counter "weir_listener_client_bytes_total" LISTENER, "Bytes received from clients.";
    LISTENER_TARGET_BYTES: Counter "weir_listener_target_bytes_total" LISTENER, "Bytes received from targets for clients.";
    CONNECT_DURATION: Histogram "weir_connect_duration_seconds" LISTENER, "Time from the first connect attempt to a connected target, retries included.";
    FIRST_BYTE_DURATION: Histogram "weir_first_byte_duration_seconds" LISTENER, "tcp: time from accept to the first byte of the target; http: from a request sent to the head of its response received.";
    CONNECTION_DURATION: Histogram "weir_connection_duration_seconds" LISTENER, "Time from accept to close.";

    // Requests of http listeners, summed over shards.
    HTTP_REQUESTS: Counter "weir_http_requests_total" HTTP, "Requests that are over, whatever became of them.";
    HTTP_RESPONSES: Counter "weir_http_responses_total" HTTP_CODE, "Responses that clients got, from targets and from the balancer, by the first digit of their status. A client that had gone counts as 4xx (460).";
    HTTP_ERRORS: Counter "weir_http_errors_total" HTTP_REASON, "Requests that did not simply get their target's response, by reason.";
    HTTP_CLASSIFIED: Counter "weir_http_requests_classified_total" HTTP_CLASS, "Requests by what hygiene found: see docs/config.md, hygiene.";
    HTTP_UPGRADED: Counter "weir_http_upgraded_total" HTTP, "Requests that became something else than HTTP: WebSocket and other Upgrades.";
    HTTP_REQUEST_DURATION: Histogram "weir_http_request_duration_seconds" HTTP, "Time from a request's first byte received to its response's last byte sent.";

    // Target groups and targets, summed over shards unless there is a label for them.
    GROUP_TARGETS: Gauge "weir_target_group_targets" GROUP_STATE, "Targets by state, each counted once: in the worst state that any shard sees it in.";
    GROUP_FAILING_OPEN: Gauge "weir_target_group_failing_open" GROUP, "Shards that send to unhealthy targets because none is healthy.";
    GROUP_LEAVING_ZONE: Gauge "weir_target_group_leaving_zone" GROUP, "Shards that send to targets of other zones because none of the balancer's own is healthy.";
    GROUP_CHECKS_PER_SECOND: Gauge "weir_target_group_checks_per_second" GROUP, "Health checks that each target of the group sees a second from this node: shards divided by the interval.";
    TARGET_HEALTHY: Gauge "weir_target_healthy" TARGET_SHARD, "1 if the shard takes the target for healthy. Absent while no listener uses the group.";
    TARGET_WEIGHT: Gauge "weir_target_weight" TARGET, "Weight of the target; 0 takes no new connections.";
    TARGET_CONNECTIONS: Counter "weir_target_connections_total" TARGET, "Connections made to the target for clients.";
    TARGET_ACTIVE: Gauge "weir_target_connections_active" TARGET, "Connections to the target open or being made now; of an http group requests in flight.";
    TARGET_IDLE: Gauge "weir_target_connections_idle" TARGET, "Connections to the target that are kept for the next request.";
    TARGET_REQUESTS: Counter "weir_target_requests_total" TARGET, "Requests sent to the target.";
    TARGET_RESPONSES: Counter "weir_target_responses_total" TARGET_CODE, "Responses of the target by the first digit of their status.";
    TARGET_CONNECT_FAILURES: Counter "weir_target_connect_failures_total" TARGET_REASON, "Failed connects for clients, by cause.";
    TARGET_SENT_BYTES: Counter "weir_target_sent_bytes_total" TARGET, "Bytes received from clients for the target.";
    TARGET_RECEIVED_BYTES: Counter "weir_target_received_bytes_total" TARGET, "Bytes received from the target.";
    TARGET_CHECKS: Counter "weir_target_checks_total" TARGET_RESULT, "Health checks by result; those not made failed on this host and say nothing about the target.";

    // Shards.
    SHARD_STUCK: Gauge "weir_shard_stuck" SHARD, "1 if the shard has not answered for 3 seconds or has ended.";
    SHARD_ANSWER_AGE: Gauge "weir_shard_answer_age_seconds" SHARD, "Time since the shard last answered a ping. Pings come each second.";
    SHARD_REVISION: Gauge "weir_shard_revision" SHARD, "Revision of the config that the shard runs on.";
    SHARD_DRAINING: Gauge "weir_shard_draining" SHARD, "1 if the shard has stopped accepting and finishes what runs.";
    SHARD_ACCEPTED: Counter "weir_shard_connections_accepted_total" SHARD, "Connections accepted by the shard, of all listeners it has now.";
    SHARD_CONNECTIONS: Gauge "weir_shard_connections_active" SHARD, "Client connections open now.";
    SHARD_CONNECTIONS_MAX: Gauge "weir_shard_connections_max" SHARD, "Client connections that the shard holds at most; further ones are refused.";
    RING_SOCKETS: Gauge "weir_ring_sockets" SHARD, "Sockets in the ring, with those that wait for their last completion.";
    RING_LISTENERS: Gauge "weir_ring_listeners" SHARD, "Listening sockets in the ring, likewise.";
    RING_IN_FLIGHT: Gauge "weir_ring_operations_in_flight" SHARD, "Operations whose last completion is still to come.";
    RING_TIMERS: Gauge "weir_ring_timers" SHARD, "Deadlines set.";
    RING_BUFFERS: Gauge "weir_ring_buffers" SHARD, "Receive buffers.";
    RING_BUFFERS_PROVIDED: Gauge "weir_ring_buffers_provided" SHARD, "Receive buffers that the kernel may fill.";
    RING_BUFFERS_LEASED: Gauge "weir_ring_buffers_leased" SHARD, "Receive buffers that hold bytes on their way.";
    RING_BUFFERS_RAN_OUT: Counter "weir_ring_buffers_ran_out_total" SHARD, "Times that a receive found no buffer and waited.";
    RING_TURNS: Counter "weir_ring_turns_total" SHARD, "Turns of the ring's driver: one system call each.";
    RING_SUBMITTED: Counter "weir_ring_operations_submitted_total" SHARD, "Operations submitted.";
    RING_COMPLETED: Counter "weir_ring_completions_total" SHARD, "Completions reaped.";
    RING_STRAYS: Counter "weir_ring_strays_total" SHARD, "Completions for nobody. Anything but 0 is a bug.";
    RING_HOUSEKEEPING_FAILURES: Counter "weir_ring_housekeeping_failures_total" SHARD, "Registrations, cancels and closes of descriptors that failed; anything but 0 is a bug.";

    // Webhooks of scaling groups.
    WEBHOOK_REPORTS: Counter "weir_webhook_reports_total" SCALING_GROUP, "Targets that turned unhealthy and are reported to the webhook of their scaling group.";
    WEBHOOK_DELIVERED: Counter "weir_webhook_delivered_total" SCALING_GROUP, "Reports that the webhook took.";
    WEBHOOK_ATTEMPTS_FAILED: Counter "weir_webhook_attempts_failed_total" SCALING_GROUP_REASON, "Attempts to deliver a report that failed, by reason.";
    WEBHOOK_DROPPED: Counter "weir_webhook_dropped_total" SCALING_GROUP_REASON, "Reports that were given up, by reason.";
    WEBHOOK_WAITING: Gauge "weir_webhook_reports_waiting" SCALING_GROUP, "Reports that wait to be delivered.";

    // Control.
    CONFIG_REVISION: Gauge "weir_config_revision" &[], "Revision in effect. It grows with each change of what is, by the file or the API, and goes on from the one that was kept.";
    CONFIG_RELOAD: Counter "weir_config_reload_total" &["result"], "Reloads by result. After a failure the config before goes on, unless a stuck shard alone is late.";
    CONFIG_LAST_SUCCESS: Gauge "weir_config_last_reload_success_timestamp_seconds" &[], "When a config last came into effect on every shard: by the start, a change or a reload, be it of a file in which nothing changed.";
    ADMIN_CERTIFICATE_EXPIRY: Gauge "weir_admin_certificate_expiry_timestamp_seconds" &[], "When the certificate of the admin endpoint expires; absent where it has none.";
    DRAINING: Gauge "weir_draining" &[], "1 if the process was asked to stop and finishes what runs.";
    LOG_LINES_DROPPED: Counter "weir_log_lines_dropped_total" &[], "Lines of the log that were dropped because nobody took them from stderr fast enough.";
    ACCESS_LOG_RECORDS: Counter "weir_access_log_records_total" &[], "Entries of the access log, with those that were dropped.";
    ACCESS_LOG_DROPPED: Counter "weir_access_log_dropped_total" &["reason"], "Entries that no line was written for, by reason.";
    ACCESS_LOG_WRITE_ERRORS: Counter "weir_access_log_write_errors_total" &[], "Writes of the access log that failed.";
    BUILD_INFO: Gauge "weir_build_info" &["version"], "1, with the version.";

    // The process, by the names that every Prometheus client uses.
    PROCESS_CPU: Counter "process_cpu_seconds_total" &[], "User and system CPU time.";
    PROCESS_OPEN_FDS: Gauge "process_open_fds" &[], "Open file descriptors.";
    PROCESS_MAX_FDS: Gauge "process_max_fds" &[], "Limit of file descriptors.";
    PROCESS_RESIDENT: Gauge "process_resident_memory_bytes" &[], "Resident memory.";
    PROCESS_VIRTUAL: Gauge "process_virtual_memory_bytes" &[], "Virtual memory.";
    PROCESS_THREADS: Gauge "process_threads" &[], "Threads.";
    PROCESS_START: Gauge "process_start_time_seconds" &[], "When the process started.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_end_in_their_unit() {
        let names: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            assert!(metric.name.starts_with("weir_") || metric.name.starts_with("process_"), "{}", metric.name);
            assert!(metric.help.ends_with('.') && !metric.help.contains(['\\', '\n']), "{}", metric.name);
        }
    }

    /// A row is: name in back quotes, kind, labels in back quotes or a dash, help.
    #[test]
    fn the_documentation_lists_exactly_these() {
        let is_metric = |line: &&str| line.starts_with("| `") && KINDS.iter().any(|kind| line.contains(kind));
        let mut documented = DOCUMENT.lines().filter(is_metric);
        for metric in ALL {
            assert_eq!(documented.next(), Some(row(metric).as_str()), "docs/metrics.md and names.rs differ");
        }
        assert_eq!(documented.next(), None, "docs/metrics.md has one more than names.rs");
    }

    const KINDS: [&str; 3] = ["| counter |", "| gauge |", "| histogram |"];
    const DOCUMENT: &str = include_str!("../../docs/metrics.md");

    fn row(metric: &Metric) -> String {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(", ") };
        format!("| `{}` | {} | {labels} | {} |", metric.name, metric.kind.as_str(), metric.help)
    }
}
