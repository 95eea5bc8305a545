//! The socket layer: `io_uring` inside a shard's glommio executor.
//!
//!     task --poll--> Core (slots, buffers, deadlines) --submission--> kernel
//!      ^                                                                 |
//!      `------------ wake <-- driver: one enter a turn <--completion-----'
//!
//! glommio gives the thread, its core and the tasks; its own sockets poll through a ring without `DEFER_TASKRUN` and cost
//! twice what nginx does. Here accepts and receives are multishot, bytes arrive in buffers that the kernel picks when it
//! has them, descriptors are registered, and a turn is one system call. The only place of the project with `unsafe`.
//!
//! Always: what an operation points to (buffer, address, descriptor) belongs to its slot until the last completion, whether
//! or not the future that began it still exists. `driver.rs` is where to begin reading.

mod alarm;
mod buffers;
pub mod check;
mod datagrams;
mod driver;
mod event;
pub mod executor;
mod first;
mod listener;
mod memory;
mod name;
pub mod options;
pub mod sim;
mod socket;
mod stream;
mod tcp;
mod timer;
mod token;
mod udp;
mod wheel;

pub use alarm::Alarm;
pub use buffers::{BUFFER_BYTES, BUFFERS_MAX, Buf, Pool, PoolCounts};
pub use datagrams::{DATAGRAM_BYTES_MAX, DATAGRAM_QUEUE_MAX, DATAGRAMS_IN_FLIGHT_MAX};
pub use driver::{Ring, RingCounts};
pub use event::{Bell, Event};
pub use first::first;
pub use listener::TcpListener;
pub use socket::{RECEIVE_QUEUE_MAX, SEND_QUEUE_MAX};
pub use stream::Stream;
pub use tcp::TcpStream;
pub use timer::{Elapsed, Sleep, TICK};
pub use udp::{UdpCounts, UdpSocket};
