//! What may be asked for. Values are checked where they are read, so that an error names the option.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::delay::Delay;
use crate::schedule::Arrivals;
use crate::search::Objective;
use crate::workload::UDP_NUMBER_BYTES;

/// What every load takes.
#[derive(Debug, Args)]
pub(super) struct LoadOptions {
    /// Connections, or UDP sockets, of all cores together.
    #[arg(short, long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) connections: u32,
    /// Cores to run on, an executor each: 1, or 2,4-7. Default: one executor, wherever the kernel puts it.
    #[arg(long, value_name = "LIST", value_parser = cores)]
    pub(super) cores: Option<Cores>,
    /// Open loop: send so many requests a second, whatever the target does. Without it a client sends its next request when
    /// it has the answer to the last one.
    #[arg(short, long, value_name = "PER_SECOND", value_parser = rate)]
    pub(super) rate: Option<f64>,
    /// How the requests of an open loop follow each other.
    #[arg(long, value_enum, default_value_t)]
    pub(super) arrivals: Arrivals,
    /// Grow the load for so long first; not measured.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    pub(super) ramp_up: Duration,
    /// Run at full load for so long before measuring.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    pub(super) warm_up: Duration,
    /// Measure for so long.
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = positive_time)]
    pub(super) duration: Duration,
    /// Measure so many requests instead.
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// Longest wait for an answer. Default: 5s; in udp 1s, after which a datagram counts as lost.
    #[arg(long, value_name = "TIME", value_parser = positive_time)]
    pub(super) timeout: Option<Duration>,
    /// Longest wait for a connection.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = positive_time)]
    pub(super) connect_timeout: Duration,
    /// Closed loop: pause after each answer: 5ms, 1ms..5ms, exp:5ms, or 90%:1ms,10%:20ms.
    #[arg(long, value_name = "DELAY", default_value = "0", conflicts_with_all = ["rate", "pipeline"])]
    pub(super) think: Delay,
    /// A connection for each request.
    #[arg(long, conflicts_with = "pipeline")]
    pub(super) connection_per_request: bool,
    /// Requests on a connection or socket ahead of their answers.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) pipeline: u16,
    /// Addresses of this host to send from, in turn: each has some 28,000 ports towards one target.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(super) source: Vec<IpAddr>,
    /// The same seed draws the same arrivals, URLs and pauses.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// Look for the highest rate that holds --slo: many runs of --duration each, after one in closed loop.
    #[arg(long, requires = "slo", conflicts_with_all = ["rate", "count", "think", "ramp_up"])]
    pub(super) find_max: bool,
    /// What must hold: p99<5ms, or p99<5ms,p99.9<20ms,errors<1%. Without a word of errors 0.1 % may fail.
    #[arg(long, value_name = "OBJECTIVE", requires = "find_max")]
    pub(super) slo: Option<Objective>,
    /// Write the results as JSON.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write the distribution of latencies as `HdrHistogram` writes it.
    #[arg(long, value_name = "FILE")]
    pub(super) hgrm: Option<PathBuf>,
    /// Draw latency by percentile and over time: out.svg, or out.html with tables.
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,
    /// Say nothing but errors.
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// What HTTP takes besides.
#[derive(Debug, Args)]
pub(super) struct HttpOptions {
    /// One URL or several, drawn by weight: `http://host/path`, or `9@http://host/path` for nine times as often.
    #[arg(required = true, value_name = "[WEIGHT@]URL")]
    pub(super) urls: Vec<String>,
    /// Connect there, whatever the URLs say.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) connect_to: Option<String>,
    /// The method.
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    pub(super) method: String,
    /// A header, such as 'Accept: text/html'. Instead of ours if it is Host, Connection or Content-Length.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(super) headers: Vec<String>,
    /// The body.
    #[arg(long, value_name = "TEXT", conflicts_with = "body_file")]
    pub(super) body: Option<String>,
    /// The body.
    #[arg(long, value_name = "FILE")]
    pub(super) body_file: Option<PathBuf>,
}

/// What TCP takes besides.
#[derive(Debug, Args)]
pub(super) struct TcpOptions {
    /// The service.
    #[arg(value_name = "HOST:PORT")]
    pub(super) target: String,
    /// Bytes of a request.
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=SIZE_MAX))]
    pub(super) request_size: u32,
    /// Bytes of an answer.
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) response_size: u64,
}

/// What UDP takes besides.
#[derive(Debug, Args)]
pub(super) struct UdpOptions {
    /// The service. Its answers must begin with the first eight bytes of the request, as an echo does.
    #[arg(value_name = "HOST:PORT")]
    pub(super) target: String,
    /// Bytes of a request.
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u16).range(UDP_BYTES))]
    pub(super) request_size: u16,
    /// Bytes that an answer must have; any if not given.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(UDP_BYTES))]
    pub(super) response_size: Option<u16>,
}

/// What a server is told.
#[derive(Debug, Args)]
pub(super) struct ServeOptions {
    /// What to speak.
    #[arg(value_enum)]
    pub(super) protocol: ServeProtocol,
    /// Where. Port 0 takes a free one, which is printed.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8000")]
    pub(super) listen: SocketAddr,
    /// Cores to run on, an executor each: 1, or 2,4-7. Default: one executor, wherever the kernel puts it.
    #[arg(long, value_name = "LIST", value_parser = cores)]
    pub(super) cores: Option<Cores>,
    /// Bytes of a request; tcp only.
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) request_size: u64,
    /// Bytes of an answer; of its body in http, where the path /bytes/N is answered by N.
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    pub(super) response_size: u64,
    /// From a request to its answer: 5ms, 1ms..5ms, exp:5ms, or 90%:1ms,10%:20ms.
    #[arg(long, value_name = "DELAY", default_value = "0")]
    pub(super) delay: Delay,
    /// Share of requests that fail: status 503 in http, a reset in tcp, no answer in udp.
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = share)]
    pub(super) error_rate: f64,
    /// Answer nothing for so long at the end of every --stall-every.
    #[arg(long, value_name = "TIME", value_parser = positive_time)]
    pub(super) stall: Option<Duration>,
    /// See --stall.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = positive_time)]
    pub(super) stall_every: Duration,
    /// The same seed draws the same delays and errors.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
}

/// What a server may speak.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum ServeProtocol {
    /// Answers of one size to requests of another.
    Tcp,
    /// HTTP/1.1.
    Http,
    /// A datagram for a datagram, which repeats its first eight bytes.
    Udp,
}

/// What a comparison takes.
#[derive(Debug, Args)]
pub(super) struct CompareOptions {
    /// The run to compare with.
    #[arg(value_name = "A.json")]
    pub(super) a: PathBuf,
    /// The other run.
    #[arg(value_name = "B.json")]
    pub(super) b: PathBuf,
    /// Draw both into one figure: out.svg or out.html.
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,
}

/// Numbers of cores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cores(pub(super) Vec<usize>);

/// From a datagram's number to what the ring receives of one.
#[expect(clippy::cast_possible_wrap, reason = "both are small")]
const UDP_BYTES: std::ops::RangeInclusive<i64> = UDP_NUMBER_BYTES as i64..=weir::ring::DATAGRAM_BYTES_MAX as i64;
/// Longest request or answer that is held in memory.
const SIZE_MAX: i64 = 1 << 30;

fn cores(text: &str) -> Result<Cores, String> {
    let mut cores = Vec::new();
    for part in text.split(',') {
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|core| *core < CORES_MAX);
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => cores.extend(first..=last),
            _ => return Err("expected numbers of cores, such as 1 or 2,4-7".to_owned()),
        }
    }
    cores.sort_unstable();
    cores.dedup();
    Ok(Cores(cores))
}

fn rate(text: &str) -> Result<f64, String> {
    let (number, times) = match text.strip_suffix(['k', 'K']) {
        Some(thousands) => (thousands, 1e3),
        None => (text, 1.0),
    };
    let rate = number.parse::<f64>().ok().map(|rate| rate * times);
    let in_range = rate.filter(|rate| (RATE_MIN..=RATE_MAX).contains(rate));
    in_range.ok_or_else(|| format!("expected requests a second, {RATE_MIN} to {RATE_MAX}, such as 500 or 20k"))
}

/// A share in percent, as a number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|percent| percent.parse::<f64>().ok());
    let share = percent.map(|percent| percent / 100.0).filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a share of requests, such as 1% or 0.5%".to_owned())
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|_| "expected a time, such as 500ms, 10s or 5m".to_owned())?;
    if time > TIME_MAX { Err("more than a week".to_owned()) } else { Ok(time) }
}

pub(super) fn positive_time(text: &str) -> Result<Duration, String> {
    time(text).and_then(|time| if time.is_zero() { Err("more than nothing".to_owned()) } else { Ok(time) })
}

const CORES_MAX: usize = 4096;
const RATE_MIN: f64 = 0.01;
const RATE_MAX: f64 = 1e8;
const TIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(cores("1"), Ok(Cores(vec![1])));
        assert_eq!(cores("2, 4-6,5"), Ok(Cores(vec![2, 4, 5, 6])));
        for text in ["", "a", "3-1", "1,,2", "0-99999999"] {
            assert!(cores(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_read() {
        assert_eq!(share("0.5%"), Ok(0.005));
        for text in ["", "1", "-1%", "101%", "NaN%", "%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_read() {
        assert_eq!(rate("0.5"), Ok(0.5));
        assert_eq!(rate("20k"), Ok(20_000.0));
        for text in ["", "0", "-1", "NaN", "inf", "k", "1e12"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
