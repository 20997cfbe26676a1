//! Ceilings on live instances, of a sponsor and of a chain: how many are live. Who is full is counted again after a
//! second. The refusal is in `validate_grant.rs`.
//!
//! Exact on any number of servers, because a grant is recorded under the log head's lock, and cheap, because counting
//! is rare: a new instance takes a place in the log, so no more can be live than were at the last count and events were
//! appended since. Only what comes near its ceiling is counted again.

use std::collections::HashMap;

use countersign_store::{
    Connection,
    head::Head,
    instance::{self, Holding, Live},
};
use time::{Duration, OffsetDateTime};

use super::{
    job::{GrantJob, Holder},
    submission::Work,
};
use crate::{Ceilings, Error};

impl Ceilings {
    pub(super) fn of(self, holding: &Holding) -> Option<i64> {
        match holding {
            Holding::Sponsor(_) => self.sponsor,
            Holding::Chain(_) => self.chain,
        }
        .map(i64::from)
    }
}

/// Who is full is counted again after so long, though room may have come back a little earlier.
const FULL: Duration = Duration::SECOND;
/// Most counts that are remembered; they are a shortcut, so all may be forgotten.
const MOST: usize = 10_000;

/// What was counted lately.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// The authority epoch of the counts: whatever else makes an instance live (accepting an orphan) begins a new one.
    epoch: i64,
    known: HashMap<Holding, Counted>,
}

#[derive(Debug, Clone, Copy)]
struct Counted {
    live: Live,
    /// Events in the log when it was counted.
    size: i64,
    time: OffsetDateTime,
}

impl Counted {
    /// What surely covers the live ones now, if that leaves room for `wanted` more, or says that there is none.
    fn answers(&self, wanted: i64, ceiling: i64, size: i64, now: OffsetDateTime) -> Option<Live> {
        let most = self.live.count + (size - self.size);
        if most + wanted <= ceiling {
            return Some(Live { count: most, ..self.live });
        }
        let full = self.live.count >= ceiling && (self.time..self.time + FULL).contains(&now);
        full.then_some(self.live)
    }
}

/// What is not known well enough.
struct Uncounted {
    holding: Holding,
    /// How many more are wanted.
    wanted: i64,
    ceiling: i64,
}

impl Counts {
    /// How many instances are live of each sponsor and chain that the grants among `works` would add to, where it has a ceiling.
    pub(super) async fn read(
        &mut self,
        conn: &mut Connection,
        works: &[Box<dyn Work>],
        ceilings: Ceilings,
        head: &Head,
        now: OffsetDateTime,
    ) -> Result<HashMap<Holding, Live>, Error> {
        if self.epoch != head.authority_epoch || self.known.len() > MOST {
            self.epoch = head.authority_epoch;
            self.known.clear();
        }
        let (mut found, mut unknown) = (HashMap::new(), Vec::new());
        for (holding, wanted) in wanted(works) {
            let Some(ceiling) = ceilings.of(&holding) else { continue };
            let known = self.known.get(&holding).and_then(|known| known.answers(wanted, ceiling, head.size(), now));
            match known {
                Some(live) => drop(found.insert(holding, live)),
                None => unknown.push(Uncounted { holding, wanted, ceiling }),
            }
        }
        // By their rows first, which is quick and may count a few that were revoked a moment ago; then exactly where those
        // would be in the way.
        let by_row = self.count(conn, &unknown, head, now, false).await?;
        let near = unknown.into_iter().filter(|of| by_row[&of.holding].count + of.wanted > of.ceiling);
        let near: Vec<_> = near.collect();
        let exactly = self.count(conn, &near, head, now, true).await?;
        found.extend(by_row);
        found.extend(exactly);
        Ok(found)
    }

    async fn count(
        &mut self,
        conn: &mut Connection,
        of: &[Uncounted],
        head: &Head,
        now: OffsetDateTime,
        exactly: bool,
    ) -> Result<HashMap<Holding, Live>, Error> {
        if of.is_empty() {
            return Ok(HashMap::new());
        }
        let holdings: Vec<_> = of.iter().map(|of| of.holding.clone()).collect();
        let counted = instance::live(conn, &holdings, now, exactly).await?;
        let counted: HashMap<_, _> = holdings.into_iter().zip(counted).collect();
        let known = |live: &Live| Counted { live: *live, size: head.size(), time: now };
        self.known.extend(counted.iter().map(|(holding, live)| (holding.clone(), known(live))));
        Ok(counted)
    }
}

/// What new instances would add to, and how many there would be.
fn wanted(works: &[Box<dyn Work>]) -> HashMap<Holding, i64> {
    let mut wanted = HashMap::new();
    for holding in works.iter().flat_map(|work| work.adds_to()) {
        *wanted.entry(holding).or_insert(0) += 1;
    }
    wanted
}

/// What a grant adds a live instance to. A renewal adds none.
pub(super) fn adds_to(grant: &GrantJob) -> Vec<Holding> {
    match &grant.holder {
        Holder::Root { renews: Some(_), .. } => Vec::new(),
        Holder::Root { sponsor_id, renews: None } => vec![Holding::Sponsor(sponsor_id.clone())],
        Holder::Child { parent } => {
            vec![Holding::Sponsor(parent.sponsor_id.clone()), Holding::Chain(parent.root_instance_id())]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    fn counted(count: i64) -> Counted {
        Counted { live: Live { count, next_expiry: None }, size: 1_000, time: NOW }
    }

    #[test]
    fn a_count_stands_while_the_events_since_leave_room() {
        let answers = |wanted, size| counted(90).answers(wanted, 100, size, NOW).map(|live| live.count);
        assert_eq!(answers(10, 1_000), Some(90));
        assert_eq!(answers(11, 1_000), None);
        assert_eq!(answers(5, 1_005), Some(95));
        assert_eq!(answers(5, 1_006), None);
    }

    #[test]
    fn who_is_full_is_counted_again_after_a_second() {
        let later = |by| counted(100).answers(1, 100, 5_000, NOW + by).map(|live| live.count);
        assert_eq!(later(Duration::ZERO), Some(100));
        assert_eq!(later(Duration::milliseconds(999)), Some(100));
        assert_eq!(later(Duration::SECOND), None);
        assert_eq!(later(-Duration::SECOND), None, "a clock that was set back");
    }
}
