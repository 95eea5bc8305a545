//! The status page, and `GET /v1/events`, which keeps it live.
//!
//! ```text
//!   / and /page/...      in the binary, for everyone: no word of the balancer is in them
//!   /v1/events (token) --place, or 503--> Feed --a gather a second at most--> Glance --JSON--> every subscriber
//! ```
//!
//! Files as they are: no build step, and nothing from outside, so that it works where there is no internet. The policy lets the
//! browser run, show and reach nothing else, whatever name a listener may have. page.js is where its reading begins.
//! Always: the page reads and writes by the API alone, with the token that the person gave it.

mod events;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::control::state::Control;
use events::Feed;

/// A file of the page.
struct Asset {
    path: &'static str,
    media_type: &'static str,
    text: &'static str,
}

const ASSETS: [Asset; 9] = [
    Asset { path: "/", media_type: "text/html; charset=utf-8", text: include_str!("page.html") },
    Asset { path: "/page/page.css", media_type: "text/css; charset=utf-8", text: include_str!("page.css") },
    Asset { path: "/page/page.svg", media_type: "image/svg+xml", text: include_str!("page.svg") },
    script("/page/page.js", include_str!("page.js")),
    script("/page/change.js", include_str!("change.js")),
    script("/page/elements.js", include_str!("elements.js")),
    script("/page/rates.js", include_str!("rates.js")),
    script("/page/stream.js", include_str!("stream.js")),
    script("/page/texts.js", include_str!("texts.js")),
];

const fn script(path: &'static str, text: &'static str) -> Asset {
    Asset { path, media_type: "text/javascript; charset=utf-8", text }
}

/// Content Security Policy Level 3. The page makes no markup of texts, which `require-trusted-types-for` enforces.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// What the page lives on, which others may read, too.
pub(super) fn events(control: &Arc<Control>) -> OpenApiRouter<Arc<Control>> {
    let feed = Arc::new(Feed::new(Arc::clone(control)));
    OpenApiRouter::new().routes(routes!(events::subscribe)).with_state(feed)
}

/// The page's files: for browsers, so they are not of the API.
pub(super) fn files() -> Router<Arc<Control>> {
    ASSETS.iter().fold(Router::new(), |router, asset| router.route(asset.path, get(async || serve(asset))))
}

/// Whether a path is one of the page's files, which hold no secret.
pub(super) fn is_open(path: &str) -> bool {
    ASSETS.iter().any(|asset| asset.path == path)
}

fn serve(asset: &'static Asset) -> Response {
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // A new version of weir has a new page.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, asset.text).into_response()
}
