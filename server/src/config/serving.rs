//! Settings around the port: trusted proxies in front of it, a listener for health, and how long it stays open when it
//! closes (`shutdown.delay_seconds`).

use std::{net::SocketAddr, time::Duration};

use countersign_transport::Network;

use super::{problem::Problem, settings::Settings};

/// Settings around the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// The address for health and metrics besides the port. `None` if only the port serves them.
    pub health: Option<SocketAddr>,
    /// Proxies, whose connections carry the calls of many persons.
    pub trusted_proxies: Vec<Network>,
    /// How long the port stays open, not ready, once the server is told to stop.
    pub shutdown_delay: Duration,
}

impl Serving {
    pub(super) fn read(settings: &mut Settings) -> Self {
        let wanted = "an address and a port, such as 0.0.0.0:8081";
        let health = settings.parse("health.listen", wanted, |text| text.parse().ok());
        let delay = settings.number("shutdown.delay_seconds", 0..=300, 0);
        let mut trusted_proxies = Vec::new();
        let mut problems = Vec::new();
        for (text, origin) in settings.list("trusted_proxies") {
            match text.parse::<Network>() {
                Ok(network) => trusted_proxies.push(network),
                Err(why) => problems.push(Problem::new(origin, "trusted_proxies", why.to_string())),
            }
        }
        settings.report_all(problems);
        Self { health, trusted_proxies, shutdown_delay: Duration::from_secs(delay.into()) }
    }
}
