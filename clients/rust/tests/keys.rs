//! Reading the public keys from a server, over the same kind of connection as everything else.

use axum::{Router, http::StatusCode, routing::get};
use countersign_client::{ConnectError, Connection, KeysError};
use countersign_core::credential::{KeySet, KeyStanding, SigningKey};

/// Serves `router` on a free port of this machine; returns its address.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("the listener is bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn keys_from(status: StatusCode, body: String) -> Result<KeySet, KeysError> {
    let router = Router::new().route("/.well-known/jwks.json", get(move || async move { (status, body) }));
    let address = serve(router).await;
    Connection::connect(&address, Some("csk_1_secret")).await.expect("the server listens").keys().await
}

#[tokio::test]
async fn published_keys_are_read() {
    let key = SigningKey::generate().unwrap();
    let mut published = KeySet::default();
    published.insert(key.verifying_key().clone(), KeyStanding::Active);
    let read = keys_from(StatusCode::OK, published.to_jwks().to_string()).await.unwrap();
    assert!(read.get(key.kid()).is_some());
}

#[tokio::test]
async fn what_is_no_key_set_is_an_error() {
    let answer = keys_from(StatusCode::SERVICE_UNAVAILABLE, String::new()).await;
    assert!(matches!(answer, Err(KeysError::Status(503))));
    assert!(matches!(keys_from(StatusCode::OK, "<html>".into()).await, Err(KeysError::Keys(_))));
    assert!(matches!(keys_from(StatusCode::OK, " ".repeat(70_000)).await, Err(KeysError::Body)));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert!(matches!(Connection::connect(&address, None).await, Err(ConnectError::Unreachable(_))));
}
