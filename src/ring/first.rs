//! The first of two futures to end.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

/// Whichever ends first: the left one's output as `Ok`, the right one's as `Err`; the left one where both have.
///
/// Takes them pinned: a future that is passed by value is kept twice by the compiler, as the argument and as what is
/// awaited, and a connection's future is most of what an idle connection costs.
pub fn first<L, R>(
    mut left: Pin<&mut impl Future<Output = L>>,
    mut right: Pin<&mut impl Future<Output = R>>,
) -> impl Future<Output = Result<L, R>> {
    std::future::poll_fn(move |context| {
        if let Poll::Ready(output) = left.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        right.as_mut().poll(context).map(Err)
    })
}
