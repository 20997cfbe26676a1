//! What the allocator holds, by its own statistics of the process.

use mimalloc::MiMalloc;
use serde::Deserialize;

/// The statistics that a release build of mimalloc keeps.
#[derive(Debug, Deserialize)]
struct Statistics {
    reserved: Count,
    committed: Count,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Count {
    peak: f64,
    current: f64,
}

/// Updates the gauges. Where the statistics cannot be read, they stay as they are.
pub(super) fn collect() {
    let Ok(json) = MiMalloc::stats_json() else { return };
    let Ok(Statistics { reserved, committed }) = serde_json::from_slice(json.to_bytes()) else { return };
    metrics::gauge!("countersign_allocator_committed_bytes").set(committed.current);
    metrics::gauge!("countersign_allocator_committed_peak_bytes").set(committed.peak);
    metrics::gauge!("countersign_allocator_reserved_bytes").set(reserved.current);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allocator_says_what_it_holds() {
        let json = MiMalloc::stats_json().unwrap();
        let Statistics { reserved, committed } = serde_json::from_slice(json.to_bytes()).unwrap();
        assert!(committed.peak >= committed.current && reserved.peak >= reserved.current);
    }
}
