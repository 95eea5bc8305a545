//! Lines to the host's syslog: a datagram each to `/dev/log`, `<PRI>TAG[PID]: LINE` (RFC 3164 4.1.3, 5.3).
//!
//! We leave out the time stamp of RFC 3164, which is in local time and whole seconds: syslogs that are asked on this socket put
//! their own, and the line has a better one. The host name is theirs to add as well.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::output::{OpenError, Written};

/// Where syslogs listen.
pub(super) const SOCKET: &str = "/dev/log";

/// Facility local0, severity info (RFC 3164 4.1.1).
const PRIORITY: u8 = 16 * 8 + 6;

/// Longest line. rsyslog cuts messages at 8 KiB by default, its head included.
pub(super) const LINE_BYTES_MAX: usize = 8 << 10;

/// A syslog that takes no datagram for so long takes none: the rest of the block is dropped.
const SEND_LIMIT: Duration = Duration::from_secs(1);

/// A connection to the host's syslog.
#[derive(Debug)]
pub(super) struct Syslog {
    path: PathBuf,
    socket: UnixDatagram,
    /// The head of every datagram, then the line of this one.
    datagram: Vec<u8>,
    head_bytes: usize,
}

impl Syslog {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let socket = connect(path).map_err(|error| OpenError {
            what: path.display().to_string(),
            error,
            mend: "start a syslog on this host, or let [access_log] write to a file or stdout",
        })?;
        let mut datagram = Vec::with_capacity(LINE_BYTES_MAX);
        // Writing to a vector does not fail.
        let _ = write!(datagram, "<{PRIORITY}>weir[{}]: ", std::process::id());
        Ok(Syslog { path: path.to_owned(), socket, head_bytes: datagram.len(), datagram })
    }

    pub(super) fn write(&mut self, block: &[u8]) -> Written {
        let mut lines = 0;
        for line in block.split_inclusive(|byte| *byte == b'\n') {
            self.datagram.truncate(self.head_bytes);
            self.datagram.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
            if let Err(error) = self.send() {
                return Written { lines, error: Some(error) };
            }
            lines += 1;
        }
        Written { lines, error: None }
    }

    /// A syslog that was restarted has a new socket at the same path.
    fn send(&mut self) -> io::Result<()> {
        match self.socket.send(&self.datagram) {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Err(error),
            Err(_) => {
                self.socket = connect(&self.path)?;
                self.socket.send(&self.datagram).map(drop)
            }
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(SEND_LIMIT))?;
    Ok(socket)
}
