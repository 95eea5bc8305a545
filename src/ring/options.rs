//! Sockets before and beside the ring: how they are made, bound, steered and ended. Plain system calls, once a socket.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Longest backlog we ask for; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;
/// Room for datagrams that wait in a UDP socket, five times the usual default, as this is our queue when we are behind.
/// The kernel cuts it to `net.core.rmem_max`. Memory is used only as it fills.
const UDP_RECEIVE_BYTES: usize = 1 << 20;

/// Which of the sockets of an address gets a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steering {
    /// That of the CPU on which it arrived: the network card has spread them already.
    ByCpu,
    /// The kernel's hash of its addresses: for loopback, where it arrives on the client's CPU.
    ByHash,
}

/// Listening sockets, and what of their settings the kernel refused.
#[derive(Debug)]
pub struct ListeningSockets {
    /// One a core.
    pub sockets: Vec<OwnedFd>,
    /// Why connections are not steered, where they are not: the kernel's hash spreads them then.
    pub not_steered: Option<io::Error>,
    /// Why segments are not filtered, where they are not.
    pub not_filtered: Option<io::Error>,
}

/// One listening socket a core for the same address (`SO_REUSEPORT`), in the order of `cores`. Each segment to them has to
/// pass `filter` (classic BPF, empty for none) from the first one on.
///
/// # Errors
/// The address cannot be bound.
pub fn listen(
    address: SocketAddr,
    cores: &[usize],
    steering: Steering,
    filter: &[libc::sock_filter],
) -> io::Result<ListeningSockets> {
    let bound = cores.iter().map(|_| bind_one(address)).collect::<io::Result<Vec<_>>>()?;
    // Ahead of listening, so that nobody slips in.
    let filtered = || bound.iter().try_for_each(|socket| set_filter(socket.as_raw_fd(), filter));
    let not_filtered = if filter.is_empty() { None } else { filtered().err() };
    bound.iter().try_for_each(|socket| socket.listen(BACKLOG))?;
    let not_steered = match bound.first() {
        Some(first) if cores.len() > 1 && steering == Steering::ByCpu => steer_by_cpu(first, cores).err(),
        _ => None,
    };
    Ok(ListeningSockets { sockets: bound.into_iter().map(OwnedFd::from).collect(), not_steered, not_filtered })
}

/// Puts a filter in the place of the one that the socket has; an empty one leaves it without. Where the kernel refuses,
/// the socket has none: one of before would go by rules that no longer hold.
pub(super) fn set_filter(fd: RawFd, filter: &[libc::sock_filter]) -> io::Result<()> {
    let attached = if filter.is_empty() { Ok(()) } else { set_program(fd, libc::SO_ATTACH_FILTER, filter) };
    if filter.is_empty() || attached.is_err() {
        let unused: libc::c_int = 0;
        // SAFETY: the kernel reads one int during the call at most. It can only fail where there is no filter.
        unsafe {
            libc::setsockopt(
                fd,
                libc::SOL_SOCKET,
                libc::SO_DETACH_FILTER,
                (&raw const unused).cast(),
                libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(0),
            );
        }
    }
    attached
}

/// Hands a classic BPF program over.
fn set_program(fd: RawFd, option: libc::c_int, program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies the program during the call; `program` and what it points to outlive it.
    let result = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            option,
            (&raw const program).cast(),
            libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).unwrap_or(0),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn bind_one(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted sockets inherit it: no system call a connection.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A classic BPF program that names the socket of the CPU on which the connection arrived, for the whole group that
/// `socket` is in. The kernel numbers the sockets in the order in which they began to listen.
fn steer_by_cpu(socket: &Socket, cores: &[usize]) -> io::Result<()> {
    set_program(socket.as_raw_fd(), libc::SO_ATTACH_REUSEPORT_CBPF, &steering_program(cores))
}

/// `A = cpu; if A == cores[i] return i; ...; return A % cores.len()`.
fn steering_program(cores: &[usize]) -> Vec<libc::sock_filter> {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN_CONSTANT: u16 = 0x06;
    const RETURN_A: u16 = 0x16;
    const MODULO: u16 = 0x94;
    /// `SKF_AD_OFF + SKF_AD_CPU` of linux/filter.h.
    const CPU: u32 = 0xffff_f000 + 36;
    let instruction = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let mut program = vec![instruction(LOAD_WORD, 0, 0, CPU)];
    for (index, core) in cores.iter().enumerate() {
        program.push(instruction(JUMP_IF_EQUAL, 0, 1, number(*core)));
        program.push(instruction(RETURN_CONSTANT, 0, 0, number(index)));
    }
    program.push(instruction(MODULO, 0, 0, number(cores.len())));
    program.push(instruction(RETURN_A, 0, 0, 0));
    program
}

/// A socket for a connection to `target`, bound to `source` where one is given.
///
/// # Errors
/// No descriptor is left, or `source` is not ours.
pub fn target_socket(target: SocketAddr, source: Option<IpAddr>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source {
        bind_address_no_port(&socket);
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    Ok(socket)
}

/// A UDP socket at `address` that others may share (`SO_REUSEPORT`): one a shard, among which the kernel spreads the
/// flows by their five-tuple. Not steered by CPU as listeners are: the datagrams of a flow would change the shard with
/// the CPU.
///
/// # Errors
/// The address cannot be bound.
pub fn udp_bound(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = udp_socket(address)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A UDP socket that sends to `target` and hears only from there, bound to `source` where one is given.
///
/// # Errors
/// No descriptor or port is left, `source` is not ours, or there is no way to `target`.
pub fn udp_connected(target: SocketAddr, source: Option<IpAddr>) -> io::Result<OwnedFd> {
    let socket = udp_socket(target)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect(&target.into())?;
    Ok(socket.into())
}

fn udp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
    // Best effort: with less, a burst loses more.
    let _ = socket.set_recv_buffer_size(UDP_RECEIVE_BYTES);
    Ok(socket)
}

/// Packets that the kernel has dropped for the socket since it was made (`SO_MEMINFO`).
pub(super) fn kernel_drops(fd: RawFd) -> io::Result<u32> {
    let mut numbers = [0_u32; libc::SK_MEMINFO_DROPS as usize + 1];
    let mut bytes = libc::socklen_t::try_from(size_of_val(&numbers)).unwrap_or(0);
    // SAFETY: the kernel writes at most `bytes` bytes to `numbers` and their count to `bytes` during the call.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, numbers.as_mut_ptr().cast(), &raw mut bytes)
    };
    if result == 0 { Ok(numbers[libc::SK_MEMINFO_DROPS as usize]) } else { Err(io::Error::last_os_error()) }
}

/// The port is chosen at connect, so that it need only be free towards this target (Linux 4.2). Best effort.
fn bind_address_no_port(socket: &Socket) {
    let yes: libc::c_int = 1;
    // SAFETY: the kernel reads one int during the call.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const yes).cast(),
            libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(0),
        );
    }
}

/// This thread's sleeps end when they should, not up to 50 us later (the default slack). Best effort.
pub(super) fn precise_timers() {
    let nanosecond: libc::c_ulong = 1;
    // SAFETY: no memory is involved.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanosecond) };
}

/// The address of the other side.
///
/// # Errors
/// The connection is gone already.
pub fn peer_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    SockRef::from(socket).peer_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// The address that a socket is bound to.
///
/// # Errors
/// It is not an IP socket.
pub fn local_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    SockRef::from(socket).local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// Closes a connection by a reset.
pub fn reset(socket: OwnedFd) {
    reset_on_close(socket.as_raw_fd());
    drop(socket);
}

pub(super) fn reset_on_close(fd: RawFd) {
    // SAFETY: `fd` is open: the caller's handle keeps it so.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    // It can only fail on a socket that is dead already.
    let _ = SockRef::from(&fd).set_linger(Some(Duration::ZERO));
}

/// The socket's pending error, which is taken by asking for it.
pub(super) fn error_of(fd: RawFd) -> Option<i32> {
    // SAFETY: `fd` is open: its slot keeps it so.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    SockRef::from(&fd).take_error().ok()??.raw_os_error()
}

pub(super) fn finish_sending(fd: RawFd) -> io::Result<()> {
    // SAFETY: `fd` is open: the caller's handle keeps it so.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    SockRef::from(&fd).shutdown(std::net::Shutdown::Write)
}

/// A connection that is complete already, without waiting.
pub(super) fn accept_now(listener: RawFd) -> Option<OwnedFd> {
    // SAFETY: `listener` is open: the caller's handle keeps it so.
    let listener = unsafe { BorrowedFd::borrow_raw(listener) };
    let listener = SockRef::from(&listener);
    listener.set_nonblocking(true).ok()?;
    let (socket, _) = listener.accept().ok()?;
    // Linux does not hand O_NONBLOCK on to accepted sockets.
    Some(super::driver::adopt(socket.into_raw_fd()))
}

pub(super) fn new_eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel made `fd` for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn add_to_eventfd(fd: BorrowedFd<'_>) {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: the kernel reads the eight bytes during the call. It can only fail by overflow, after 2^64 unread rings.
    unsafe { libc::write(fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steering_program_names_a_socket_for_every_cpu() {
        let program = steering_program(&[2, 5, 7]);
        let run = |cpu: u32| {
            let (mut a, mut at) = (0, 0);
            loop {
                let step = &program[at];
                at += 1;
                match step.code {
                    0x20 => a = cpu,
                    0x15 => at += usize::from(if a == step.k { step.jt } else { step.jf }),
                    0x06 => return step.k,
                    0x94 => a %= step.k,
                    _ => return a,
                }
            }
        };
        assert_eq!([2, 5, 7].map(run), [0, 1, 2], "each configured core has its own shard");
        assert!((0..64).all(|cpu| run(cpu) < 3), "other cores are spread");
    }

    const DROP: libc::sock_filter = libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0 };

    fn connects(to: SocketAddr) -> bool {
        std::net::TcpStream::connect_timeout(&to, Duration::from_secs(1)).is_ok()
    }

    #[test]
    fn a_filter_is_there_before_the_first_connection_and_can_be_exchanged() {
        let address = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let bound = listen(address, &[0], Steering::ByHash, &[DROP]).expect("listens");
        assert!(bound.not_filtered.is_none(), "{bound:?}");
        assert!(!connects(address), "no answer");
        let socket = bound.sockets[0].as_raw_fd();
        let pass = libc::sock_filter { k: u32::MAX, ..DROP };
        set_filter(socket, &[pass]).expect("a good program");
        assert!(connects(address));
        set_filter(socket, &[DROP]).expect("a good program");
        assert!(!connects(address));
        assert!(kernel_drops(socket).expect("a socket") > 0);
        set_filter(socket, &[]).expect("nothing to refuse");
        assert!(connects(address));
    }

    #[test]
    fn where_the_kernel_refuses_a_filter_the_one_of_before_goes_too() {
        let address = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let bound = listen(address, &[0], Steering::ByHash, &[DROP]).expect("listens");
        let beyond_the_end = libc::sock_filter { code: 0x05, jt: 0, jf: 0, k: 7 };
        assert!(set_filter(bound.sockets[0].as_raw_fd(), &[beyond_the_end, DROP]).is_err());
        assert!(connects(address));
        let refused = listen(address, &[0], Steering::ByHash, &[beyond_the_end, DROP]).expect("listens");
        assert!(refused.not_filtered.is_some());
    }

    #[test]
    fn sockets_of_one_address_share_it_and_are_steered() {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = probe.local_addr().expect("bound");
        drop(probe);
        let listening = listen(address, &[0, 1], Steering::ByCpu, &[]).expect("listens");
        assert_eq!(listening.sockets.len(), 2);
        assert!(listening.not_steered.is_none(), "{listening:?}");
    }
}
