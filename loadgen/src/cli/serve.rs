//! Serves until a signal.

use weir::ring::DATAGRAM_BYTES_MAX;

use super::options::{ServeOptions, ServeProtocol};
use super::{Error, print, usage};
use crate::engine::Stop;
use crate::serve::{self, Manners, Protocol, Service, Stall};
use crate::workload::UDP_NUMBER_BYTES;

pub(super) fn run(options: &ServeOptions, stop: &Stop) -> Result<(), Error> {
    if options.stall.is_some_and(|length| length >= options.stall_every) {
        return Err(usage("--stall must be shorter than --stall-every: nothing would ever be answered".to_owned()));
    }
    let service = Service {
        listen: options.listen,
        cores: options.cores.clone().map(|cores| cores.0).unwrap_or_default(),
        protocol: match options.protocol {
            ServeProtocol::Tcp => {
                Protocol::Tcp { request_bytes: options.request_size, response_bytes: options.response_size.max(1) }
            }
            ServeProtocol::Http => Protocol::Http { body_bytes: options.response_size },
            ServeProtocol::Udp => Protocol::Udp { response_bytes: udp_bytes(options.response_size)? },
        },
        manners: Manners {
            delay: options.delay.clone(),
            error_rate: options.error_rate,
            stall: options.stall.map(|length| Stall { length, every: options.stall_every }),
            seed: options.seed,
        },
    };
    super::load::check_cores(&service.cores)?;
    weir::ring::check::raise_limits()?;
    serve::run(&service, stop, |address| drop(print(&format!("listening on {address}\n"))))
        .map_err(|error| format!("{}: {error}; --listen ADDRESS:PORT takes another one", options.listen).into())
}

/// An answer has room for the number it repeats, and a client for the answer.
fn udp_bytes(size: u64) -> Result<usize, Error> {
    let in_range = usize::try_from(size).ok().filter(|size| (UDP_NUMBER_BYTES..=DATAGRAM_BYTES_MAX).contains(size));
    in_range.ok_or_else(|| {
        usage(format!("--response-size {size}: an answer in udp has {UDP_NUMBER_BYTES} to {DATAGRAM_BYTES_MAX} bytes"))
    })
}
