//! The floor: the fastest TCP relay and the fastest HTTP/1.1 proxy we know how to write on `io_uring` in one thread, for Weir to be
//! measured against.
//!
//!     CQE(accept) --> slot, connect target --> CQE(connect) --> arm both receives
//!     CQE(recv)   --> send its buffer to the other side --> CQE(send) --> buffer back to the ring
//!     CQE(recv), --http: the head in the buffer becomes the one that goes on, where it is
//!
//! It is the floor because nothing is left that a load balancer needs: one listener, one target, no deadlines, no health, no
//! limits, no counters, no executor and no futures; a table of flows and a match on the completion. What remains is the
//! kernel's TCP, one completion a receive, one a send, and one `io_uring_enter` a turn:
//!   - multishot accept and receive, so nothing is armed again while traffic flows;
//!   - fixed files and a registered ring descriptor, so no file is looked up and no reference counted;
//!   - few small buffers, given to the kernel again at once, so that they stay in the cache;
//!   - sends that transfer all or fail (`MSG_WAITALL`), so a short send never comes back to be sent again;
//!   - in HTTP one parse of each head, who the client is put into free bytes ahead of it, and a body that nobody looks at.
//!
//! Tried: sends that never wait, and a turn that sleeps past their completions. It saves enters, not time (0.97 - 1.03 over three
//! runs: noise).
//!
//! Good enough to bench, not to use: when one side ends, what it sent is delivered and both are closed; a reader that stops
//! reading can hold every buffer. In HTTP a head must come whole in one receive, and a body have a Content-Length.
//!
//! `weir-floor --listen 127.0.0.1:8000 --target 127.0.0.1:8001 --core 0 [--http]`

mod args;
mod buffers;
mod exchange;
mod head;
mod relay;
mod sockets;

use std::io;

use io_uring::IoUring;

use args::{Args, Protocol};
use buffers::Buffers;
use relay::{CONNECTIONS_MAX, Relay};

fn main() {
    if let Err(error) = Args::parse().and_then(|args| run(&args)) {
        eprintln!("weir-floor: {error}");
        std::process::exit(1);
    }
}

fn run(args: &Args) -> io::Result<()> {
    sockets::pin(args.core)?;
    let listener = sockets::listen(args.listen)?;
    let mut ring: IoUring =
        IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_cqsize(COMPLETIONS).build(SUBMISSIONS)?;
    let (mut submitter, submissions, mut completions) = ring.split();
    submitter.register_ring_fd()?;
    submitter.register_files_sparse(2 * CONNECTIONS_MAX)?;
    let headroom = match args.protocol {
        Protocol::Tcp => 0,
        Protocol::Http => HEADROOM_BYTES,
    };
    let buffers = Buffers::register(&submitter, headroom)?;
    let mut relay = Relay::new(submitter, submissions, buffers, &listener, args);
    relay.accept();
    loop {
        relay.turn()?;
        completions.sync();
        for completion in &mut completions {
            relay.complete(completion.user_data(), completion.result(), completion.flags());
        }
    }
}

/// What a head may grow by.
const HEADROOM_BYTES: u32 = 256;
const _: () = assert!(HEADROOM_BYTES as usize >= head::LINES_BYTES_MAX);

const SUBMISSIONS: u32 = 1024;
const COMPLETIONS: u32 = 4096;
