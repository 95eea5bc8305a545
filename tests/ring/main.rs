//! The ring under attack, on the kernel: futures dropped in mid-flight, pools that run dry, targets that come and go, slow
//! readers, resets, bells. After each attack everything must be back: slots, operations, deadlines, buffers, descriptors.
//!
//! One test at a time: they count the descriptors of the process.

mod bell;
mod canaries;
mod churn;
mod drops;
mod ends;
mod pool;
mod relay;
mod time;
mod udp;
mod udp_loss;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};
use weir::ring::{BUFFERS_MAX, Buf, Ring, Stream, TICK, TcpListener, TcpStream, options};

static ALONE: Mutex<()> = Mutex::new(());

/// Longest that a test waits for one thing. Reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest that a test may take: who waits for ever has lost a wake-up or a completion.
const TEST_TIME: Duration = Duration::from_secs(60);

fn on_ring<F: Future<Output = ()> + 'static>(test: impl FnOnce(Ring) -> F + Send + 'static) {
    on_small_ring(BUFFERS_MAX, test);
}

/// Runs `test` on a shard's ring that has at most so many buffers.
fn on_small_ring<F: Future<Output = ()> + 'static>(buffers: usize, test: impl FnOnce(Ring) -> F + Send + 'static) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let shard =
        LocalExecutorBuilder::new(Placement::Unbound).io_memory(64 << 10).ring_depth(16).spawn(move || async move {
            let ring = Ring::with_buffers_max(buffers).expect("a ring");
            ring.spawn_driver();
            // Ours and the executor's descriptors are all open after this.
            ring.sleep(TICK).await;
            // glommio's timer, as the ring's deadlines are counted.
            let test = test(ring);
            glommio::timer::timeout(TEST_TIME, async {
                test.await;
                Ok(())
            })
            .await
            .expect("the test does not hang");
        });
    shard.expect("an executor").join().expect("the test ends without a panic");
}

/// A listener on a free port of 127.0.0.1.
fn listener(ring: &Ring) -> (TcpListener, SocketAddr) {
    listener_at(ring, (Ipv4Addr::LOCALHOST, 0).into()).expect("a free port")
}

fn listener_at(ring: &Ring, address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = options::listen(address, &[0], options::Steering::ByHash, &[])?.sockets.remove(0);
    let address = socket2::SockRef::from(&socket).local_addr()?.as_socket().expect("an IP address");
    Ok((TcpListener::new(ring, socket), address))
}

async fn connect(ring: &Ring, address: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(ring, options::target_socket(address, None)?, address).await
}

async fn accept(ring: &Ring, listener: &TcpListener) -> TcpStream {
    TcpStream::new(ring, listener.accept().await.expect("a connection"))
}

/// Both ends of a connection of this ring.
async fn pair(ring: &Ring, listener: &TcpListener, address: SocketAddr) -> (TcpStream, TcpStream) {
    let client = connect(ring, address).await.expect("connected");
    (client, accept(ring, listener).await)
}

/// A buffer with as much of `bytes` as fits.
fn buffer(ring: &Ring, bytes: &[u8]) -> Buf {
    let mut buf = ring.pool().take().expect("a buffer");
    buf.append(bytes);
    buf
}

/// All that comes until the end.
async fn read_to_end(stream: &impl Stream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(buf) = stream.recv().await? {
        bytes.extend_from_slice(&buf);
    }
    Ok(bytes)
}

async fn send_all(ring: &Ring, stream: &impl Stream, bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(weir::ring::BUFFER_BYTES) {
        stream.send(buffer(ring, piece)).await?;
    }
    Ok(())
}

/// Waits for something to become true.
async fn until(ring: &Ring, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = ring.now() + PATIENCE;
    while !holds() {
        assert!(ring.now() < deadline, "{what}: not within {PATIENCE:?}; {:?}", ring.counts());
        ring.sleep(TICK).await;
    }
}

/// Tasks of a test that are still running.
#[derive(Clone, Default)]
struct Tasks(Rc<Cell<usize>>);

impl Tasks {
    fn spawn(&self, ring: &Ring, task: impl Future<Output = ()> + 'static) {
        let running = Rc::clone(&self.0);
        running.set(running.get() + 1);
        ring.spawn(async move {
            task.await;
            running.set(running.get() - 1);
        });
    }

    async fn done(&self, ring: &Ring) {
        until(ring, "all tasks end", || self.0.get() == 0).await;
    }
}

/// What a test started with, to be found again at its end.
struct Before {
    descriptors: usize,
}

impl Before {
    fn now() -> Self {
        Before { descriptors: descriptors() }
    }

    /// Waits for the last completions; then nothing may be left.
    async fn again(self, ring: &Ring) {
        until(ring, "the last completion", || ring.counts().in_flight == 0).await;
        // What the last completions queued (a close) is submitted by the next turn.
        ring.sleep(2 * TICK).await;
        let counts = ring.counts();
        let slots = (counts.sockets, counts.listeners, counts.in_flight, counts.timers);
        assert_eq!(slots, (0, 0, 0, 0), "sockets, listeners, operations, deadlines: {counts:?}");
        assert_eq!((counts.buffers.leased, counts.strays, counts.housekeeping_failures), (0, 0, 0), "{counts:?}");
        assert_eq!(descriptors(), self.descriptors, "descriptors leaked");
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("proc").count()
}

/// Byte `position` of what connection `id` sends: tells connections and places apart.
fn pattern(id: u64, position: usize) -> u8 {
    let mixed = (id << 32 ^ position as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

fn pattern_bytes(id: u64, range: std::ops::Range<usize>) -> Vec<u8> {
    range.map(|position| pattern(id, position)).collect()
}
