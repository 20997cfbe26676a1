//! Public HTTP routes: whether the server is up and ready (`/healthz`, `/readyz`), its metrics (`/metrics`, at most
//! `PAGES` at a time), and an index of the endpoints (`/`).

use std::{fmt, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use countersign_app::App;
use http::{StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// How many pages of metrics may be in transmission at a time.
const PAGES: usize = 8;

/// Renders `/metrics`, in Prometheus' text form.
#[derive(Clone)]
pub struct MetricsPage {
    render: Arc<dyn Fn() -> String + Send + Sync>,
    room: Arc<Semaphore>,
}

impl MetricsPage {
    /// A page that `render` writes for every request.
    pub fn new(render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self { render: Arc::new(render), room: Arc::new(Semaphore::new(PAGES)) }
    }
}

impl fmt::Debug for MetricsPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsPage")
    }
}

/// The routes. They need no credential and return nothing secret.
pub(crate) fn router(app: App, metrics: Option<MetricsPage>) -> Router {
    let of_app =
        Router::new().route("/.well-known/spiffe-bundle", get(super::spiffe_bundle::bundle)).with_state(app.clone());
    Router::new().route("/", get(index)).merge(of_app).merge(health(app, metrics))
}

/// Whether the server is up and ready, and its metrics.
pub(crate) fn health(app: App, metrics: Option<MetricsPage>) -> Router {
    let router = Router::new()
        .route("/readyz", get(readyz).with_state(app))
        .route("/healthz", get(|| async { Json(json!({ "alive": true })) }));
    match metrics {
        Some(page) => router.route("/metrics", get(render).with_state(page)),
        None => router,
    }
}

/// What is at this address, for a person who opens it in a browser.
async fn index() -> Json<Value> {
    Json(json!({
        "name": "countersign",
        "version": env!("CARGO_PKG_VERSION"),
        "grpc": "countersign.v1, with reflection (v1 and v1alpha) and grpc.health.v1; gRPC-web on the same paths",
        "json": "POST /countersign.v1.<Service>/<Method> with content-type: application/json",
        "http": ["POST /issue", "GET /.well-known/jwks.json", "GET /.well-known/spiffe-bundle", "GET /log/checkpoint", "GET /log/tile/...", "GET /healthz", "GET /readyz", "GET /metrics"],
        "oauth": [
            "GET /.well-known/oauth-authorization-server",
            "POST /oauth/token",
            "POST /oauth/introspect",
            "POST /oauth/revoke",
        ],
        "authzen": [
            "GET /.well-known/authzen-configuration",
            "POST /access/v1/evaluation",
            "POST /access/v1/evaluations",
            "POST /access/v1/search/action",
        ],
    }))
}

async fn readyz(State(app): State<App>) -> Response {
    let readiness = app.readiness();
    let ready = readiness.ready();
    let check =
        |check: &countersign_app::Check| json!({ "name": check.name, "ok": check.ok, "message": check.message });
    let body = json!({ "ready": ready, "checks": readiness.checks.iter().map(check).collect::<Vec<_>>() });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// The page, which is large compared with its request. So only a few may be in transmission at a time.
async fn render(State(page): State<MetricsPage>) -> Response {
    let Ok(place) = page.room.clone().try_acquire_owned() else {
        let retry = [(header::RETRY_AFTER, "1")];
        return (StatusCode::SERVICE_UNAVAILABLE, retry, "too many clients are reading the metrics: try again\n")
            .into_response();
    };
    let page = ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (page.render)()).into_response();
    page.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &place;
            frame
        }))
    })
}
