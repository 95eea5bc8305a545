//! Metrics.
#![forbid(unsafe_code)]
