//! The address of the dev server for the demo, which must be on this machine.

use std::net::SocketAddr;

/// Reads the address of a dev server. It must be on loopback and without TLS, so keys may be sent there.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let address: Option<SocketAddr> = bare.replacen("localhost:", "127.0.0.1:", 1).parse().ok();
    address.filter(|address| address.ip().to_canonical().is_loopback()).ok_or_else(|| {
        "the demo plays on a dev server only, which listens on this machine, such as http://127.0.0.1:8080".to_owned()
    })
}
