//! Can this host run us? Kernel, `io_uring`, locked memory, descriptors: each with what is wrong and how to mend it.
//!
//! `run` refuses to start on a `Fail`; `doctor` prints everything.

use std::io;

use io_uring::{IoUring, opcode, register::Probe};

/// `DEFER_TASKRUN` came with it.
const KERNEL_MIN: (u32, u32) = (6, 1);
/// glommio refuses to start an executor below this (`MEMLOCK`), whatever the kernel would allow.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;
/// Below this many descriptors a balancer is of little use: two a connection.
const DESCRIPTORS_GOOD: u64 = 65_536;
const DESCRIPTORS_MIN: u64 = 256;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Good,
    /// It runs, but not at its best.
    Warn,
    /// It cannot run.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// What to do about it; empty when there is nothing to do.
    pub mend: String,
}

impl Finding {
    /// A finding with nothing to mend.
    #[must_use]
    pub fn good(what: impl Into<String>) -> Self {
        Finding { level: Level::Good, what: what.into(), mend: String::new() }
    }

    /// A finding that costs something.
    #[must_use]
    pub fn warn(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Finding { level: Level::Warn, what: what.into(), mend: mend.into() }
    }

    /// A finding that keeps us from running.
    #[must_use]
    pub fn fail(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Finding { level: Level::Fail, what: what.into(), mend: mend.into() }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)?;
        if self.mend.is_empty() { Ok(()) } else { write!(f, "; {}", self.mend) }
    }
}

/// Looks at everything that the ring needs.
#[must_use]
pub fn host() -> Vec<Finding> {
    vec![kernel(&release()), ring(), locked_memory(), descriptors()]
}

fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// False where the release cannot be read.
pub(super) fn kernel_is_at_least(wanted: (u32, u32)) -> bool {
    version(&release()).is_some_and(|version| version >= wanted)
}

fn kernel(release: &str) -> Finding {
    let Some(version) = version(release) else {
        return Finding::warn(
            format!("kernel release \"{release}\" cannot be read"),
            "make sure that it is Linux 6.1 or newer",
        );
    };
    if version >= KERNEL_MIN {
        return Finding::good(format!("kernel {release}"));
    }
    Finding::fail(
        format!("kernel {release} is older than Linux 6.1, which Weir's ring needs (DEFER_TASKRUN)"),
        "install a newer kernel (Debian 12 has 6.1, backports have newer ones)",
    )
}

fn ring() -> Finding {
    let uring: IoUring = match IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(8) {
        Ok(uring) => uring,
        Err(error) => return explain(&error, disabled_by_sysctl().as_deref()),
    };
    let mut probe = Probe::new();
    let needed = [
        ("recv", opcode::RecvMulti::CODE),
        ("send", opcode::Send::CODE),
        ("connect", opcode::Connect::CODE),
        ("accept", opcode::AcceptMulti::CODE),
        ("cancel", opcode::AsyncCancel::CODE),
        ("close", opcode::Close::CODE),
        ("files_update", opcode::FilesUpdate::CODE),
        ("read", opcode::Read::CODE),
    ];
    if let Err(error) = uring.submitter().register_probe(&mut probe) {
        return explain(&error, None);
    }
    let missing: Vec<&str> = needed.iter().filter(|(_, code)| !probe.is_supported(*code)).map(|n| n.0).collect();
    if missing.is_empty() {
        return Finding::good("io_uring is available");
    }
    Finding::fail(
        format!("io_uring lacks {}", missing.join(", ")),
        "a container runtime or an old kernel restricts it; run on the host, or allow these operations",
    )
}

fn disabled_by_sysctl() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok().map(|value| value.trim().to_owned())
}

/// Why the kernel refused a ring, by its answer and by what `kernel.io_uring_disabled` holds.
#[must_use]
pub fn explain(error: &io::Error, disabled: Option<&str>) -> Finding {
    let what = |why: &str| format!("io_uring_setup: {error}; {why}");
    match (error.raw_os_error(), disabled) {
        (Some(libc::EPERM), Some(value @ ("1" | "2"))) => Finding::fail(
            what(&format!("the kernel forbids it here (kernel.io_uring_disabled={value})")),
            "sysctl -w kernel.io_uring_disabled=0, and in /etc/sysctl.d to keep it",
        ),
        (Some(libc::EPERM | libc::EACCES), _) => Finding::fail(
            what("a seccomp filter or security module forbids it (container runtimes do so by default)"),
            "run on the host, or allow io_uring_setup, io_uring_enter and io_uring_register in the container's profile",
        ),
        (Some(libc::ENOSYS), _) => Finding::fail(
            what("this kernel was built without it (CONFIG_IO_URING), or a seccomp filter hides it"),
            "use a kernel with CONFIG_IO_URING=y, and allow io_uring in the container's seccomp profile",
        ),
        (Some(libc::ENOMEM), _) => Finding::fail(
            what("the locked-memory limit is too small for the rings"),
            "raise it: LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited",
        ),
        (Some(libc::EINVAL), _) => Finding::fail(
            what("the kernel does not know SINGLE_ISSUER and DEFER_TASKRUN"),
            "install Linux 6.1 or newer",
        ),
        (Some(libc::EMFILE | libc::ENFILE), _) => Finding::fail(
            what("no descriptor is left"),
            "raise the limit: LimitNOFILE=1048576 in the unit, or ulimit -n",
        ),
        _ => Finding::fail(what("the kernel gives no further reason"), "look at the kernel's log: dmesg"),
    }
}

fn locked_memory() -> Finding {
    match limit(libc::RLIMIT_MEMLOCK) {
        Ok((soft, hard)) => judge_locked_memory(soft, hard),
        Err(error) => Finding::warn(format!("the locked-memory limit cannot be read: {error}"), "check ulimit -l"),
    }
}

fn judge_locked_memory(soft: u64, hard: u64) -> Finding {
    if soft >= MEMLOCK_BYTES_MIN {
        return Finding::good(format!("locked memory: {}", amount(soft)));
    }
    if hard >= MEMLOCK_BYTES_MIN {
        return Finding::good(format!("locked memory: {}, raised to {} at start", amount(soft), amount(hard)));
    }
    Finding::fail(
        format!("locked memory is limited to {hard} bytes; a shard needs {MEMLOCK_BYTES_MIN}"),
        "LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited",
    )
}

fn descriptors() -> Finding {
    match limit(libc::RLIMIT_NOFILE) {
        Ok((_, hard)) => judge_descriptors(hard),
        Err(error) => Finding::warn(format!("the descriptor limit cannot be read: {error}"), "check ulimit -n"),
    }
}

fn judge_descriptors(hard: u64) -> Finding {
    let connections = hard / 2;
    let mend = "LimitNOFILE=1048576 in the unit, or ulimit -n";
    if hard < DESCRIPTORS_MIN {
        return Finding::fail(format!("only {hard} descriptors are allowed"), mend);
    }
    let what = format!("{hard} descriptors: about {connections} connections at once");
    if hard < DESCRIPTORS_GOOD { Finding::warn(what, mend) } else { Finding::good(what) }
}

fn amount(bytes: u64) -> String {
    if bytes == libc::RLIM_INFINITY { "unlimited".to_owned() } else { format!("{bytes} bytes") }
}

/// Raises the soft limits of descriptors and locked memory to the hard ones.
///
/// # Errors
/// The kernel refuses.
pub fn raise_limits() -> io::Result<()> {
    for resource in [libc::RLIMIT_NOFILE, libc::RLIMIT_MEMLOCK] {
        let (_, hard) = limit(resource)?;
        let limit = libc::rlimit { rlim_cur: hard, rlim_max: hard };
        // SAFETY: the kernel reads `limit` during the call.
        if unsafe { libc::setrlimit(resource, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Soft limit of descriptors of this process: as given, and as an index.
pub(super) fn descriptor_limit() -> io::Result<(u64, usize)> {
    let (soft, _) = limit(libc::RLIMIT_NOFILE)?;
    Ok((soft, usize::try_from(soft).unwrap_or(usize::MAX)))
}

/// How many descriptors this process may have open.
///
/// # Errors
/// The kernel does not say.
pub fn descriptors_max() -> io::Result<u64> {
    limit(libc::RLIMIT_NOFILE).map(|(soft, _)| soft)
}

fn limit(resource: libc::__rlimit_resource_t) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes `limit` during the call.
    if unsafe { libc::getrlimit(resource, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((limit.rlim_cur, limit.rlim_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_can_run_us() {
        for finding in host() {
            assert_ne!(finding.level, Level::Fail, "{finding}");
        }
    }

    #[test]
    fn an_old_kernel_is_refused_and_a_new_one_is_not() {
        assert_eq!(kernel("5.15.0-91-generic").level, Level::Fail);
        assert_eq!(kernel("6.0.19").level, Level::Fail);
        assert_eq!(kernel("6.1.0-18-amd64").level, Level::Good);
        assert_eq!(kernel("6.18.44-fc-v669").level, Level::Good);
        assert_eq!(kernel("10.0").level, Level::Good);
        assert_eq!(kernel("").level, Level::Warn);
    }

    #[test]
    fn each_refusal_says_what_and_how_to_mend() {
        let cases = [
            (libc::EPERM, Some("2"), "kernel.io_uring_disabled=2", "sysctl -w kernel.io_uring_disabled=0"),
            (libc::EPERM, Some("0"), "seccomp", "allow io_uring_setup"),
            (libc::EPERM, None, "seccomp", "allow io_uring_setup"),
            (libc::ENOSYS, None, "CONFIG_IO_URING", "CONFIG_IO_URING=y"),
            (libc::ENOMEM, None, "locked-memory", "LimitMEMLOCK"),
            (libc::EINVAL, None, "DEFER_TASKRUN", "6.1"),
            (libc::EMFILE, None, "descriptor", "LimitNOFILE"),
        ];
        for (errno, disabled, what, mend) in cases {
            let finding = explain(&io::Error::from_raw_os_error(errno), disabled);
            assert_eq!(finding.level, Level::Fail);
            assert!(finding.what.contains(what), "{finding}");
            assert!(finding.mend.contains(mend), "{finding}");
        }
    }

    #[test]
    fn small_limits_are_named() {
        assert_eq!(judge_descriptors(100).level, Level::Fail);
        assert_eq!(judge_descriptors(20_000).level, Level::Warn);
        assert_eq!(judge_descriptors(1 << 20).level, Level::Good);
        assert_eq!(judge_locked_memory(65_536, 65_536).level, Level::Fail);
        assert_eq!(judge_locked_memory(65_536, 8 << 20).level, Level::Good);
    }
}
