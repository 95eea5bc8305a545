//! What is wrong with a request, how bad that is, and what becomes of it (requirement P5; ALB's desync mitigation).
//!
//! ```text
//!     head --> the worst Finding --mode--> Verdict          monitor             defensive           strictest
//!                                              compliant    serve               serve               serve
//!                                              acceptable   serve               serve               refuse
//!                                              ambiguous    serve (then close)  serve, then close   refuse
//!                                              severe       serve (then close)  refuse              refuse
//! ```
//!
//! "(then close)": monitor closes behind a request only where its end could have been read otherwise, so that nothing that
//! came after it is taken for a request; RFC 9112, 6.1 asks for that in any mode.
//! Always: what is served has exactly one reading, ours, and it is that reading which is written to the target. Where there is
//! none (two lengths that differ, a coding that we do not know, a bad name) the parser says `Refused`, which no mode changes.

use crate::config::Hygiene;

/// How far a request is from what RFC 9112 allows. Ordered: the worst of a request counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Class {
    /// As the RFC has it.
    #[default]
    Compliant,
    /// Not as the RFC has it, and harmless.
    Acceptable,
    /// Others may see another end of the message than we do.
    Ambiguous,
    /// Looks like an attack.
    Severe,
}

impl Class {
    /// All, from the best to the worst.
    pub const ALL: [Class; 4] = [Class::Compliant, Class::Acceptable, Class::Ambiguous, Class::Severe];

    /// As in ALB's access log and in metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Compliant => "Compliant",
            Class::Acceptable => "Acceptable",
            Class::Ambiguous => "Ambiguous",
            Class::Severe => "Severe",
        }
    }
}

/// What is wrong: ALB's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request target has bytes that others may cut it at, or names another host than `Host`.
    AmbiguousUri,
    /// `Content-Length` is not a number.
    BadContentLength,
    /// A field that cannot be read, or a `Host` that is missing, repeated or malformed.
    BadHeader,
    /// `Transfer-Encoding` is not `chunked`.
    BadTransferEncoding,
    /// The request target cannot be read.
    BadUri,
    /// The method is no token.
    BadMethod,
    /// The version cannot be read.
    BadVersion,
    /// `Transfer-Encoding` and `Content-Length`.
    BothTeClPresent,
    /// `Content-Length` twice, with the same number.
    DuplicateContentLength,
    /// A field without a name.
    EmptyHeader,
    /// `GET` or `HEAD` with `Content-Length: 0`.
    GetHeadZeroContentLength,
    /// `Content-Length` twice, with different numbers.
    MultipleContentLength,
    /// `chunked` twice.
    MultipleTransferEncodingChunked,
    /// A field with bytes that it may not have, or in several lines.
    NonCompliantHeader,
    /// A version that we read as 1.1, or with spaces around it.
    NonCompliantVersion,
    /// A space within the request target.
    SpaceInUri,
    /// A name that others may take for `Content-Length` or `Transfer-Encoding`, or a `Connection` that names these away.
    SuspiciousHeader,
    /// `GET` or `HEAD` with a `Content-Length` above 0.
    UndefinedContentLengthSemantics,
    /// `Transfer-Encoding` where it has no meaning: `GET`, `HEAD`, HTTP/1.0.
    UndefinedTransferEncodingSemantics,
}

impl Reason {
    /// As in ALB's access log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::AmbiguousUri => "AmbiguousUri",
            Reason::BadContentLength => "BadContentLength",
            Reason::BadHeader => "BadHeader",
            Reason::BadTransferEncoding => "BadTransferEncoding",
            Reason::BadUri => "BadUri",
            Reason::BadMethod => "BadMethod",
            Reason::BadVersion => "BadVersion",
            Reason::BothTeClPresent => "BothTeClPresent",
            Reason::DuplicateContentLength => "DuplicateContentLength",
            Reason::EmptyHeader => "EmptyHeader",
            Reason::GetHeadZeroContentLength => "GetHeadZeroContentLength",
            Reason::MultipleContentLength => "MultipleContentLength",
            Reason::MultipleTransferEncodingChunked => "MultipleTransferEncodingChunked",
            Reason::NonCompliantHeader => "NonCompliantHeader",
            Reason::NonCompliantVersion => "NonCompliantVersion",
            Reason::SpaceInUri => "SpaceInUri",
            Reason::SuspiciousHeader => "SuspiciousHeader",
            Reason::UndefinedContentLengthSemantics => "UndefinedContentLengthSemantics",
            Reason::UndefinedTransferEncodingSemantics => "UndefinedTransferEncodingSemantics",
        }
    }
}

/// The worst thing about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Finding {
    /// How bad.
    pub class: Class,
    /// What; `None` for a compliant request.
    pub reason: Option<Reason>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is served.
    Serve,
    /// It is served, and the connections to client and target are closed behind it.
    ServeThenClose,
    /// It is answered with 400, and the client's connection closed.
    Refuse,
}

impl Finding {
    /// Nothing is wrong.
    pub const NONE: Finding = Finding { class: Class::Compliant, reason: None };

    pub(super) const fn new(class: Class, reason: Reason) -> Self {
        Finding { class, reason: Some(reason) }
    }

    /// What becomes of a request with this finding.
    #[must_use]
    pub fn verdict(self, mode: Hygiene) -> Verdict {
        match (mode, self.class) {
            (_, Class::Compliant) | (Hygiene::Monitor | Hygiene::Defensive, Class::Acceptable) => Verdict::Serve,
            (Hygiene::Monitor, Class::Ambiguous | Class::Severe) if !self.is_about_the_end() => Verdict::Serve,
            (Hygiene::Monitor, Class::Ambiguous | Class::Severe) | (Hygiene::Defensive, Class::Ambiguous) => {
                Verdict::ServeThenClose
            }
            (Hygiene::Defensive, Class::Severe) | (Hygiene::Strictest, _) => Verdict::Refuse,
        }
    }

    /// Others may take the message to end elsewhere. A body that comes with GET is not such: its end is plain.
    fn is_about_the_end(self) -> bool {
        !matches!(
            self.reason,
            None | Some(
                Reason::AmbiguousUri
                    | Reason::SpaceInUri
                    | Reason::BadUri
                    | Reason::NonCompliantVersion
                    | Reason::UndefinedContentLengthSemantics
                    | Reason::GetHeadZeroContentLength
            )
        )
    }
}

/// What was found in a request so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Findings {
    /// The first of those that are as bad as any.
    pub(super) worst: Finding,
    /// One of them, be it the worst or not, is about where the message ends: nothing that follows it is to be read.
    pub(super) is_end_in_doubt: bool,
}

impl Findings {
    pub(super) fn add(&mut self, class: Class, reason: Reason) {
        let finding = Finding::new(class, reason);
        self.is_end_in_doubt |= class >= Class::Ambiguous && finding.is_about_the_end();
        if class > self.worst.class {
            self.worst = finding;
        }
    }
}

/// A request that is not served in any mode: it is answered with `status` and the client's connection closed, because
/// where the next request would begin is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// 400, 414, 431, 501 or 505.
    pub status: u16,
    /// What is wrong, for the log.
    pub why: &'static str,
    /// The same, by class and reason.
    pub finding: Finding,
}

impl Refused {
    pub(super) const fn new(status: u16, why: &'static str, reason: Reason) -> Self {
        Refused { status, why, finding: Finding::new(Class::Severe, reason) }
    }

    /// 400.
    pub(super) const fn bad(why: &'static str, reason: Reason) -> Self {
        Refused::new(400, why, reason)
    }

    /// A message that is too long somewhere: nothing is wrong with it otherwise, and ALB gives no reason.
    pub(super) const fn too_long(status: u16, why: &'static str) -> Self {
        Refused { status, why, finding: Finding::NONE }
    }
}
