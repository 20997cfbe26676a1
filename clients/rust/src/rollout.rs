//! Rollouts: how many callers are inside, and whether a given one is.

use countersign_core::rollout::Percent;
use countersign_core::rollout::bucket::{bucket, is_enrolled};

use crate::v1;

/// The server did not show the rollout's salt, so nobody's side can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rollout came without its salt: only operators with gate, policy-admin or auditor may read it")]
pub struct NoSalt;

/// A rollout as read from the server, by the same rule as the server's.
///
/// It answers for callers in the rollout's scope, at the percentage it had when it was read. The answer that counts is
/// that of `Decide`; this one is for showing and for planning.
///
/// ```
/// use countersign_client::{Rollout, v1};
///
/// # fn main() -> Result<(), countersign_client::NoSalt> {
/// let read = v1::Rollout { rollout_id: "roll_1".into(), percent: 10, salt: vec![7; 32], ..Default::default() };
/// let rollout = Rollout::new(&read)?;
/// println!("{} %, inside: {}", rollout.percent(), rollout.is_enrolled("inst_1"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Rollout {
    id: String,
    percent: Percent,
    salt: Vec<u8>,
}

impl std::fmt::Debug for Rollout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, percent, .. } = self;
        f.debug_struct("Rollout").field("rollout_id", id).field("percent", percent).finish_non_exhaustive()
    }
}

impl Rollout {
    /// Takes what is needed out of a rollout as GetRollout, ListRollouts or WatchRollouts returned it.
    pub fn new(read: &v1::Rollout) -> Result<Self, NoSalt> {
        if read.salt.is_empty() {
            return Err(NoSalt);
        }
        // Undone: the baseline answers for everyone, whatever the percentage was.
        let percent = if read.state() == v1::RolloutState::RolledBack { 0 } else { read.percent };
        // What is none can only be of a server that this client does not understand: nobody is inside.
        let percent = Percent::try_from(percent).unwrap_or(Percent::NONE);
        Ok(Self { id: read.rollout_id.clone(), percent, salt: read.salt.clone() })
    }

    /// How many callers are inside, 0 to 100.
    #[must_use]
    pub fn percent(&self) -> u32 {
        self.percent.into()
    }

    /// The bucket of `key`, 0 to 9999. `key` is what the rollout's `sticky_key` names: the root instance, the sponsor or
    /// the agent of the root.
    #[must_use]
    pub fn bucket(&self, key: &str) -> u16 {
        bucket(&self.salt, &self.id, key)
    }

    /// Whether `key` is inside.
    #[must_use]
    pub fn is_enrolled(&self, key: &str) -> bool {
        is_enrolled(self.bucket(key), self.percent)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_shared_vectors_hold() {
        let vectors: Value = serde_json::from_str(include_str!("../../conformance/bucketing.json")).unwrap();
        for case in vectors["cases"].as_array().unwrap() {
            let salt = unhex(case["salt"].as_str().unwrap());
            if salt.is_empty() {
                continue; // The hash allows it; a server never sends it.
            }
            let rollout_id = case["rollout_id"].as_str().unwrap().to_owned();
            let key = case["key"].as_str().unwrap();
            for (percent, enrolled) in case["enrolled"].as_object().unwrap() {
                let percent = percent.parse().unwrap();
                let (rollout_id, salt) = (rollout_id.clone(), salt.clone());
                let read = v1::Rollout { rollout_id, salt, percent, ..Default::default() };
                let rollout = Rollout::new(&read).unwrap();
                assert_eq!(u64::from(rollout.bucket(key)), case["bucket"].as_u64().unwrap(), "{case}");
                assert_eq!(rollout.is_enrolled(key), enrolled.as_bool().unwrap(), "{case} at {percent} %");
            }
        }
    }

    #[test]
    fn nobody_is_inside_a_rollout_that_was_rolled_back() {
        let mut read = v1::Rollout { percent: 100, salt: vec![1; 32], ..Default::default() };
        assert!(Rollout::new(&read).unwrap().is_enrolled("alice"));
        read.set_state(v1::RolloutState::RolledBack);
        let rollout = Rollout::new(&read).unwrap();
        assert_eq!((rollout.percent(), rollout.is_enrolled("alice")), (0, false));
    }

    #[test]
    fn without_the_salt_there_is_no_answer() {
        assert_eq!(Rollout::new(&v1::Rollout::default()).unwrap_err(), NoSalt);
    }
}
