//! The kept entries in their order, and what of them somebody who follows the list is still to be told.

use super::Revocation;

/// The kept entries, oldest first and without gaps, and the number of the newest that there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevocationLog {
    seq: i64,
    entries: Vec<Revocation>,
}

/// What a follower is to be told next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update<'a> {
    /// Entries that are new to the follower, oldest first.
    pub entries: &'a [Revocation],
    /// With them the follower knows everything up to here.
    pub seq: i64,
    /// Whether the entries replace what the follower knows, as there is no telling what it lacks.
    pub snapshot: bool,
}

impl RevocationLog {
    /// The newest entry there is, and those that are kept. Of a gap only what comes after it is kept.
    #[must_use]
    pub fn new(seq: i64, mut entries: Vec<Revocation>) -> Self {
        let expected = |nth: usize| i64::try_from(nth).map_or(i64::MIN, |nth| seq.saturating_sub(nth));
        let whole = entries.iter().rev().enumerate().take_while(|(nth, entry)| entry.seq == expected(*nth)).count();
        entries.drain(..entries.len() - whole);
        Self { seq, entries }
    }

    /// The number of the newest entry.
    #[must_use]
    pub const fn seq(&self) -> i64 {
        self.seq
    }

    /// What a follower is to be told who knows everything up to `known`; none: who knows nothing yet.
    ///
    /// A follower that was away longer than entries are kept, or that knows of more than there is (the list it followed
    /// was another one), gets everything that is kept instead of what is new.
    #[must_use]
    pub fn since(&self, known: Option<i64>) -> Update<'_> {
        let dropped = self.entries.first().map_or(self.seq, |oldest| oldest.seq - 1);
        let known = known.filter(|known| (dropped..=self.seq).contains(known));
        let from = known.map_or(0, |known| self.entries.partition_point(|entry| entry.seq <= known));
        Update { entries: &self.entries[from..], seq: self.seq, snapshot: known.is_none() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::OffsetDateTime;

    use super::*;
    use crate::revocation::RevocationKind;

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
    fn a_follower_is_told_what_it_lacks_or_where_that_cannot_be_told_everything() {
        let log = RevocationLog::new(7, entries(4..=7));
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
        let log = RevocationLog::new(7, Vec::new());
        assert_eq!(told(&log, Some(7)), (vec![], 7, false));
        assert_eq!(told(&log, Some(6)), (vec![], 7, true));
        let empty = RevocationLog::default();
        assert_eq!(told(&empty, None), (vec![], 0, true));
        assert_eq!(told(&empty, Some(0)), (vec![], 0, false));
    }

    #[test]
    fn nothing_from_before_a_gap_is_kept() {
        assert_eq!(told(&RevocationLog::new(7, entries([3, 5, 6, 7])), None), (vec![5, 6, 7], 7, true));
        assert_eq!(told(&RevocationLog::new(8, entries([5, 6, 7])), Some(7)), (vec![], 8, true));
    }

    proptest! {
        /// Whatever servers it meets, however far each has come and however little each keeps.
        #[test]
        fn a_follower_misses_nothing_and_is_told_nothing_twice(meetings in prop::collection::vec((0_i64..6, 0_i64..12), 1..20)) {
            let (mut head, mut known, mut have, mut from) = (0, None, Vec::new(), 1);
            for (new, kept) in meetings {
                head += new;
                let log = RevocationLog::new(head, entries((head - kept + 1).max(1)..=head));
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
