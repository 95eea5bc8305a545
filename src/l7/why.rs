//! Why a request did not simply get its target's response: one closed set for status, counter and log.

use std::io;

/// What went wrong, or whose decision it was. Labels of `weir_http_errors_total`, `error_reason` of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The head is not HTTP, or not as the listener's hygiene wants it.
    BadRequest,
    /// The request line is longer than allowed.
    UriTooLong,
    /// A field, or all of them, are longer than allowed.
    HeadersTooLarge,
    /// The body is longer than the listener allows.
    BodyTooLarge,
    /// `CONNECT` and `TRACE` are not served (requirement P3, ALB).
    MethodNotAllowed,
    /// A transfer coding that nobody here knows.
    NotImplemented,
    /// Not HTTP/1.
    VersionNotSupported,
    /// `X-Forwarded-For` names more than 30 addresses (ALB).
    ForwardedTooLong,
    /// A body of unknown length, and a target group that is spoken to in HTTP/1.0.
    VersionMismatch,
    /// The head did not come in time.
    HeaderTimeout,
    /// The body did not go on in time.
    BodyTimeout,
    /// The client did not take its response in time.
    SendTimeout,
    /// Nothing passed on an upgraded connection for the idle timeout.
    IdleTimeout,
    /// The client went away (ALB's 460, in the log only).
    ClientGone,
    /// No target may take the request.
    NoTarget,
    /// The only targets left have the client's own address (requirement B4).
    Loopback,
    /// No target accepted a connection.
    ConnectFailed,
    /// No target accepted a connection in time.
    ConnectTimeout,
    /// The target did not answer, or not go on, in time.
    ResponseTimeout,
    /// The target closed or reset its connection before the response was complete.
    TargetClosed,
    /// The target's response is not HTTP.
    BadResponse,
    /// The target was unbound and its deregistration delay is over (requirement W3).
    Deregistered,
    /// The drain deadline was over (requirement K3).
    Drained,
    /// The rule's rewrite made no path or host of the request's.
    RewriteFailed,
    /// This host ran out of something: descriptors, ports, buffers.
    Host,
}

impl Why {
    /// Every one, in the order of the counters.
    pub const ALL: [Why; 25] = [
        Why::BadRequest,
        Why::UriTooLong,
        Why::HeadersTooLarge,
        Why::BodyTooLarge,
        Why::MethodNotAllowed,
        Why::NotImplemented,
        Why::VersionNotSupported,
        Why::ForwardedTooLong,
        Why::VersionMismatch,
        Why::HeaderTimeout,
        Why::BodyTimeout,
        Why::SendTimeout,
        Why::IdleTimeout,
        Why::ClientGone,
        Why::NoTarget,
        Why::Loopback,
        Why::ConnectFailed,
        Why::ConnectTimeout,
        Why::ResponseTimeout,
        Why::TargetClosed,
        Why::BadResponse,
        Why::Deregistered,
        Why::Drained,
        Why::RewriteFailed,
        Why::Host,
    ];

    /// What the client is told, where it can still be told (requirement P6; 431 is ours, ALB says 400).
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Why::BadRequest => 400,
            Why::MethodNotAllowed => 405,
            Why::HeaderTimeout | Why::BodyTimeout | Why::SendTimeout | Why::IdleTimeout => 408,
            Why::BodyTooLarge => 413,
            Why::UriTooLong => 414,
            Why::HeadersTooLarge => 431,
            Why::ClientGone => 460,
            Why::ForwardedTooLong => 463,
            Why::VersionMismatch => 464,
            Why::RewriteFailed | Why::Host => 500,
            Why::NotImplemented => 501,
            Why::ConnectFailed | Why::TargetClosed | Why::BadResponse | Why::Deregistered => 502,
            Why::NoTarget | Why::Loopback | Why::Drained => 503,
            Why::ConnectTimeout | Why::ResponseTimeout => 504,
            Why::VersionNotSupported => 505,
        }
    }

    /// The label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Why::BadRequest => "bad_request",
            Why::UriTooLong => "uri_too_long",
            Why::HeadersTooLarge => "headers_too_large",
            Why::BodyTooLarge => "body_too_large",
            Why::MethodNotAllowed => "method_not_allowed",
            Why::NotImplemented => "not_implemented",
            Why::VersionNotSupported => "version_not_supported",
            Why::ForwardedTooLong => "forwarded_too_long",
            Why::VersionMismatch => "version_mismatch",
            Why::HeaderTimeout => "header_timeout",
            Why::BodyTimeout => "body_timeout",
            Why::SendTimeout => "send_timeout",
            Why::IdleTimeout => "idle_timeout",
            Why::ClientGone => "client_gone",
            Why::NoTarget => "no_target",
            Why::Loopback => "loopback",
            Why::ConnectFailed => "connect_failed",
            Why::ConnectTimeout => "connect_timeout",
            Why::ResponseTimeout => "response_timeout",
            Why::TargetClosed => "target_closed",
            Why::BadResponse => "bad_response",
            Why::Deregistered => "deregistered",
            Why::Drained => "drained",
            Why::RewriteFailed => "rewrite_failed",
            Why::Host => "host",
        }
    }

    /// Of a send to the client that failed.
    #[must_use]
    pub(super) fn of_client_error(error: &io::Error) -> Self {
        if is_ours(error) { Why::Host } else { Why::ClientGone }
    }

    /// Of a head that framing refused.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            414 => Why::UriTooLong,
            431 => Why::HeadersTooLarge,
            501 => Why::NotImplemented,
            505 => Why::VersionNotSupported,
            _ => Why::BadRequest,
        }
    }
}

/// No buffer, no memory: nobody on the other side did anything.
pub(super) fn is_ours(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::ENOBUFS | libc::EBADF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_p6_every_reason_is_listed_at_its_place_with_a_name_of_its_own() {
        for (index, why) in Why::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, index);
            assert_eq!(Why::ALL.iter().filter(|other| other.as_str() == why.as_str()).count(), 1);
        }
    }
}
