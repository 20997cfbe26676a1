//! The pause after a failed attempt to reach something outside: it doubles with each attempt, up to a longest one, and scatters.

use countersign_core::clock::{Entropy, random};
use time::Duration;

/// The first pause; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::SECOND;

/// How long to wait after the failed attempt number `attempts`: between half and all of a time that doubles with each
/// attempt up to `longest`, so that what failed together does not come back together.
pub(crate) fn pause(attempts: u32, longest: Duration, entropy: &dyn Entropy) -> Duration {
    let doublings = attempts.saturating_sub(1).min(30);
    let most = FIRST_PAUSE.saturating_mul(1 << doublings).min(longest);
    let share = f64::from(u16::from_be_bytes(random(entropy))) / f64::from(u16::MAX);
    most / 2 + most / 2 * share
}

#[cfg(test)]
mod tests {
    use countersign_core::clock::SystemEntropy;

    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_scatter() {
        let hour = Duration::HOUR;
        for (attempts, longest) in [(1, 1), (2, 2), (3, 4), (12, 2048), (13, 3600), (200, 3600), (u32::MAX, 3600)] {
            for _ in 0..50 {
                let pause = pause(attempts, hour, &SystemEntropy).as_seconds_f64();
                let longest = f64::from(longest);
                assert!((longest / 2.0..=longest).contains(&pause), "{attempts}: {pause}");
            }
        }
        let pauses: Vec<_> = (0..20).map(|_| pause(10, hour, &SystemEntropy)).collect();
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
