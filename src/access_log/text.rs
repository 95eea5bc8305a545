//! What both formats write alike: numbers, times, addresses. Straight into the line's bytes; nothing fails and nothing allocates.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

/// The last microsecond that has four digits for its year: 9999-12-31T23:59:59.999999Z.
const LATEST_US: u64 = 253_402_300_799_999_999;

pub(super) fn number(number: u64, out: &mut Vec<u8>) {
    // 20 digits are the most.
    let mut digits = [0; 20];
    let mut left = number;
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// RFC 3339 in UTC with microseconds, as ALB writes it.
pub(super) fn time(unix_us: u64, out: &mut Vec<u8>) {
    let time = UNIX_EPOCH + Duration::from_micros(unix_us.min(LATEST_US));
    // Writing to a vector does not fail, and the time is one that can be written.
    let _ = write!(out, "{}", humantime::format_rfc3339_micros(time));
}

pub(super) fn address(address: SocketAddr, out: &mut Vec<u8>) {
    let _ = write!(out, "{address}");
}
