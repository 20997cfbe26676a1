//! The kept revocation entries in order, with the floor, which a gap raises; and the message for a follower of the
//! list: the entries that it has not received yet, or a snapshot of all.

use time::OffsetDateTime;

use super::{Revocation, RevocationKind};

/// The kept entries, oldest first and without gaps; the floor below them; and the number of the newest entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevocationLog {
    seq: i64,
    floor: i64,
    /// The entries of keys up to the floor, which are kept permanently.
    keys: Vec<Revocation>,
    /// Every entry above the floor.
    entries: Vec<Revocation>,
}

/// The next message for a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update<'a> {
    /// Entries of keys from below the floor, oldest first; only in a snapshot.
    pub keys: &'a [Revocation],
    /// Entries that are new to the follower, oldest first.
    pub entries: &'a [Revocation],
    /// With these entries, the follower knows everything from the floor up to this number.
    pub seq: i64,
    /// The follower may forget entries up to this number. A credential whose `rev` is below it counts as expired.
    pub floor: i64,
    /// Whether the entries replace what the follower knows, because it is unknown which ones it lacks.
    pub snapshot: bool,
}

impl RevocationLog {
    /// From the number of the newest entry, the floor, and the kept entries, oldest first. If there is a gap, the floor
    /// is raised, because a missing entry must not matter.
    #[must_use]
    pub fn new(seq: i64, floor: i64, mut kept: Vec<Revocation>) -> Self {
        let expected = |nth: usize| i64::try_from(nth).map_or(i64::MIN, |nth| seq.saturating_sub(nth));
        let whole = kept.iter().rev().enumerate().take_while(|(nth, entry)| entry.seq == expected(*nth)).count();
        let below = kept.len() - whole;
        let floor = floor.max(kept.get(below).map_or(seq, |oldest| oldest.seq - 1));
        let entries = kept.split_off(kept.partition_point(|entry| entry.seq <= floor));
        kept.retain(|entry| entry.kind == RevocationKind::Key);
        Self { seq, floor, keys: kept, entries }
    }

    /// The number of the newest entry.
    #[must_use]
    pub const fn seq(&self) -> i64 {
        self.seq
    }

    /// Entries up to this number are forgotten, except those of keys.
    #[must_use]
    pub const fn floor(&self) -> i64 {
        self.floor
    }

    /// The kept entries, oldest first.
    pub fn kept(&self) -> impl Iterator<Item = &Revocation> {
        self.keys.iter().chain(&self.entries)
    }

    /// Whether an entry above the floor was made before `time`.
    #[must_use]
    pub fn holds_older(&self, time: OffsetDateTime) -> bool {
        self.entries.first().is_some_and(|oldest| oldest.create_time < time)
    }

    /// The message for a follower that knows everything up to `known`; `None` if it knows nothing yet.
    ///
    /// A follower that was away for longer than entries are kept, or that knows more entries than exist (it followed
    /// another list), gets all kept entries instead of the new ones.
    #[must_use]
    pub fn since(&self, known: Option<i64>) -> Update<'_> {
        let known = known.filter(|known| (self.floor..=self.seq).contains(known));
        let from = known.map_or(0, |known| self.entries.partition_point(|entry| entry.seq <= known));
        let keys = if known.is_none() { self.keys.as_slice() } else { &[] };
        Update { keys, entries: &self.entries[from..], seq: self.seq, floor: self.floor, snapshot: known.is_none() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(seqs: impl IntoIterator<Item = i64>) -> Vec<Revocation> {
        let entry = |seq| Revocation {
            seq,
            kind: RevocationKind::Sponsor,
            id: format!("person-{seq}"),
            create_time: OffsetDateTime::UNIX_EPOCH,
        };
        seqs.into_iter().map(entry).collect()
    }

    fn told(log: &RevocationLog, known: Option<i64>) -> (Vec<i64>, i64, bool) {
        let update = log.since(known);
        (update.entries.iter().map(|entry| entry.seq).collect(), update.seq, update.snapshot)
    }

    #[test]
    fn a_follower_is_told_what_it_lacks_or_else_everything() {
        let log = RevocationLog::new(7, 3, entries(4..=7));
        for (known, new, snapshot, what) in [
            (None, vec![4, 5, 6, 7], true, "the first time"),
            (Some(-1), vec![4, 5, 6, 7], true, "a number that none has"),
            (Some(2), vec![4, 5, 6, 7], true, "3 is no longer kept"),
            (Some(3), vec![4, 5, 6, 7], false, "all that it lacks is kept"),
            (Some(5), vec![6, 7], false, "some are new"),
            (Some(7), vec![], false, "nothing is new"),
            (Some(8), vec![4, 5, 6, 7], true, "it followed another list"),
        ] {
            assert_eq!(told(&log, known), (new, 7, snapshot), "{what}");
        }
    }

    #[test]
    fn where_nothing_is_kept_whoever_was_away_starts_anew() {
        let log = RevocationLog::new(7, 0, Vec::new());
        assert_eq!(told(&log, Some(7)), (vec![], 7, false));
        assert_eq!(told(&log, Some(6)), (vec![], 7, true));
        let empty = RevocationLog::default();
        assert_eq!(told(&empty, None), (vec![], 0, true));
        assert_eq!(told(&empty, Some(0)), (vec![], 0, false));
    }

    #[test]
    fn nothing_from_before_a_gap_is_kept() {
        let gap = RevocationLog::new(7, 2, entries([3, 5, 6, 7]));
        assert_eq!((told(&gap, None), gap.floor()), ((vec![5, 6, 7], 7, true), 4));
        let lost = RevocationLog::new(8, 0, entries([5, 6, 7]));
        assert_eq!((told(&lost, Some(7)), lost.floor()), ((vec![], 8, true), 8));
    }

    #[test]
    fn entries_of_keys_outlive_the_floor_and_are_told_at_first() {
        let key = Revocation { kind: RevocationKind::Key, ..entries([2]).remove(0) };
        let log = RevocationLog::new(6, 4, [vec![key.clone()], entries(4..=6)].concat());
        assert_eq!(log.since(None).keys, [key]);
        assert_eq!(told(&log, None), (vec![5, 6], 6, true));
        assert!(log.since(Some(4)).keys.is_empty() && !log.since(Some(4)).snapshot);
        assert_eq!(log.kept().map(|entry| entry.seq).collect::<Vec<_>>(), [2, 5, 6]);
    }

    proptest! {
        /// For any servers that it meets, however much each of them knows and keeps.
        #[test]
        fn a_follower_misses_nothing_and_is_told_nothing_twice(meetings in prop::collection::vec((0_i64..6, 0_i64..12), 1..20)) {
            let (mut head, mut known, mut have, mut from) = (0, None, Vec::new(), 1);
            for (new, kept) in meetings {
                head += new;
                let log = RevocationLog::new(head, 0, entries((head - kept + 1).max(1)..=head));
                let (told, seq, snapshot) = told(&log, known);
                if snapshot {
                    have.clear();
                    from = (head - kept + 1).max(1);
                }
                have.extend(told);
                known = Some(seq);
                prop_assert_eq!(seq, head);
                prop_assert_eq!(&have, &(from..=head).collect::<Vec<_>>());
            }
        }
    }
}
