//! How long persons have to answer an approval, and how many may wait for them, per instance, chain and sponsor
//! (`approvals.*`): defaults and ranges.

use countersign_app::Approvals;
use countersign_core::approval::DEFAULT_LIFE;
use time::Duration;

use super::settings::Settings;

/// The longest time that persons may have, in seconds: a day.
const LONGEST: u32 = 24 * 60 * 60;

/// The limits; by default 15 minutes, and 16 approvals per instance, 64 per chain, 256 per sponsor.
pub(super) fn read(settings: &mut Settings) -> Approvals {
    let default = u32::try_from(DEFAULT_LIFE.whole_seconds()).unwrap_or(LONGEST);
    let life = settings.number("approvals.life_seconds", 5..=LONGEST, default);
    let pending = settings.number("approvals.pending_per_instance", 1..=1_000, 16);
    let of_chain = settings.number("approvals.pending_per_chain", 1..=100_000, 64);
    let of_sponsor = settings.number("approvals.pending_per_sponsor", 1..=100_000, 256);
    Approvals {
        life: Duration::seconds(life.into()),
        pending_per_instance: pending as usize,
        pending_per_chain: of_chain as usize,
        pending_per_sponsor: of_sponsor as usize,
    }
}
