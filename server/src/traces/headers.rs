//! The headers of a message to the collector.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::Traces;

/// The headers of a message. The library adds those of the environment, even where others are configured.
#[derive(Clone)]
pub(super) struct Headers {
    headers: HeaderMap,
    overridden: Vec<HeaderName>,
}

impl Headers {
    pub(super) fn of(config: &Traces) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            headers.append(name, value.clone());
        }
        Self { headers, overridden: config.overridden_headers.clone() }
    }

    /// Puts them in place of those that are there.
    pub(super) fn put(&self, into: &mut HeaderMap<HeaderValue>) {
        for name in &self.overridden {
            into.remove(name);
        }
        into.extend(self.headers.clone());
    }
}
