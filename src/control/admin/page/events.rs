//! `GET /v1/events`: a glance each second, as server-sent events (HTML Living Standard, 9.2).
//!
//! ```text
//!   subscribe --place--> stream: wait until the last event is a second old --> Feed --latest, or makes it--> client
//!       `--none left--> 503
//! ```
//!
//! One event is made for all: whoever asks while it is made waits for it, and whoever comes later gets the latest. Nothing is
//! queued for a client that reads slowly: it gets fewer events. Nothing is made when nobody listens.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use utoipa::ToSchema;

use super::super::error::ApiError;
use super::super::mutations;
use super::super::views::{Balancer, BalancerView, Past, RevisionView, View};
use crate::control::state::Control;

/// Subscribers at once, out of the endpoint's clients (server.rs): probes and Prometheus need places too.
pub(super) const SUBSCRIBERS_MAX: usize = 16;
/// From one event to the next.
const PERIOD: Duration = Duration::from_secs(1);
/// A stream ends in order after so long, below the life of a connection (server.rs). The page asks again at once.
const STREAM_LIMIT: Duration = Duration::from_secs(100);
/// Revisions in an event.
const REVISIONS_SHOWN: usize = 10;

/// Makes events, for as many subscribers as there are places.
pub(super) struct Feed {
    control: Arc<Control>,
    /// What events count their seconds from.
    began: Instant,
    places: Arc<Semaphore>,
    /// Held while an event is made.
    latest: Mutex<Latest>,
}

#[derive(Default)]
struct Latest {
    event: Option<(Instant, Bytes)>,
    past: Past,
}

/// An event as its reader has it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is written by hand: frame()")]
struct Event {
    /// All of it at a glance.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// A client that listens.
struct Subscriber {
    feed: Arc<Feed>,
    _place: OwnedSemaphorePermit,
    /// When the event was made that it got last.
    seen: Option<Instant>,
    ends_at: Instant,
}

/// All of it at a glance each second, as server-sent events.
///
/// A stream ends after some 100 seconds: ask again. docs/status-page.md says what an event holds.
#[utoipa::path(
    get,
    path = "/v1/events",
    responses((status = 200, description = "Events without end.", body = inline(Event), content_type = "text/event-stream")),
)]
pub(super) async fn subscribe(State(feed): State<Arc<Feed>>) -> Response {
    let Ok(place) = Arc::clone(&feed.places).try_acquire_owned() else {
        return ApiError::too_many_subscribers().into_response();
    };
    let subscriber = Subscriber { feed, _place: place, seen: None, ends_at: Instant::now() + STREAM_LIMIT };
    let events = stream::unfold(subscriber, |mut subscriber| async move {
        let event = subscriber.next().await?;
        Some((Ok::<_, Infallible>(event), subscriber))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(events)).into_response()
}

impl Subscriber {
    /// The first at once, each further one when it is time; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(seen) = self.seen {
            let due = seen + PERIOD;
            if due > self.ends_at {
                return None;
            }
            sleep_until(due).await;
        }
        let (made_at, event) = self.feed.latest().await;
        self.seen = Some(made_at);
        Some(event)
    }
}

impl Feed {
    pub(super) fn new(control: Arc<Control>) -> Self {
        let places = Arc::new(Semaphore::new(SUBSCRIBERS_MAX));
        Feed { control, began: Instant::now(), places, latest: Mutex::default() }
    }

    /// The latest event and when it was made.
    async fn latest(&self) -> (Instant, Bytes) {
        let Latest { event, past } = &mut *self.latest.lock().await;
        if let Some((at, event)) = event
            && at.elapsed() < PERIOD
        {
            return (*at, event.clone());
        }
        let (reported_at, reports) = self.control.reporter.gather_dated().await;
        let then = past.note(reported_at, &reports);
        let state = self.control.state().clone();
        let view = View { snapshot: state.snapshot, reports };
        let revisions: Vec<_> = state.revisions.iter().rev().take(REVISIONS_SHOWN).map(RevisionView::from).collect();
        let elapsed = reported_at.saturating_duration_since(self.began);
        let balancer = Balancer {
            answer: BalancerView::of(&self.control, &view.reports),
            why_nothing_changes: mutations::why_nothing_changes(&self.control),
        };
        let glance = view.glance(then.as_ref(), &self.control.shards, balancer, revisions, elapsed);
        let made = (Instant::now(), frame(&glance));
        *event = Some(made.clone());
        made
    }
}

/// JSON has no line end of its own, so one line of data holds it.
fn frame(glance: &impl serde::Serialize) -> Bytes {
    let mut text = b"data: ".to_vec();
    if let Err(error) = serde_json::to_writer(&mut text, glance) {
        // Texts and numbers only, so there is nothing that could fail; a page without an event says so.
        tracing::error!("an event cannot be written: {error}");
        text.clear();
        text.push(b':');
    }
    text.extend(b"\n\n");
    text.into()
}
