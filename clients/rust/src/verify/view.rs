//! What a verifier knows, and until when that is the present. No I/O: instants are handed in.

use std::time::Duration;

use countersign_core::{
    credential::{Expect, KeySet, Refusal, Verified, verify_credential},
    decision::Reason,
    revocation::{ENTRIES_KEPT, Revocation, RevocationKind, Revocations},
};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::v1;

/// The longest that a revocation takes to reach a verifier that runs, counted from its commit: what a verifier knows is
/// older than this, it accepts nothing. A verifier that is cut off from the installation denies everything from then on.
pub const STALENESS_BOUND: Duration = Duration::from_secs(5);

/// Why a [`Verifier`](super::Verifier) does not accept a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The verifier does not know the present: nothing came from the installation for [`STALENESS_BOUND`], or nothing yet.
    /// It says nothing about the token. Worth a retry; [`Verifier::trouble`](super::Verifier::trouble) says why.
    #[error("no heartbeat came from the installation for {} s, so no credential is accepted: retry when it can be \
             reached again", STALENESS_BOUND.as_secs())]
    CutOff,
    /// The token does not hold. Where its key is not known ([`Refusal::UnknownKey`]) the keys are read again: worth one
    /// retry after a second.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The credential holds, and was revoked since: by itself, or with its sponsor, an instance of its chain, its key or a
    /// tool. Ask the issuer for another.
    #[error("the credential is no longer valid ({0})")]
    Revoked(Reason),
    /// The credential is good for one Decide, which only the installation can count: ask it.
    #[error("the credential is single-use: only Decide can accept it")]
    SingleUse,
}

/// The stream told what cannot be right, or what this version cannot read: nothing can be accepted by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Garbled;

/// Keys and revocations, as of an instant.
#[derive(Debug, Default)]
pub(super) struct View {
    keys: KeySet,
    revocations: Revocations,
    /// The newest entry known; 0: none yet.
    seq: i64,
    /// Everything that was entered before is known; none: nothing is.
    complete_until: Option<Instant>,
    /// Why the installation cannot be followed.
    pub(super) trouble: Option<String>,
}

/// The server's clock during one stream, in terms of ours. They may show different times, and the way takes time, but the
/// first message tells of an instant after it was asked for: all later ones are placed by it, never too late.
#[derive(Debug)]
pub(super) struct Dial {
    asked: Instant,
    first: Option<OffsetDateTime>,
}

impl Dial {
    pub(super) const fn new(asked: Instant) -> Self {
        Self { asked, first: None }
    }

    /// An instant of ours that is not after the server's `at`, of which we heard at `received`.
    fn place(&mut self, at: OffsetDateTime, received: Instant) -> Instant {
        let since = at - *self.first.get_or_insert(at);
        let placed = if since.is_negative() {
            self.asked.checked_sub(since.unsigned_abs())
        } else {
            self.asked.checked_add(since.unsigned_abs())
        };
        placed.unwrap_or(self.asked).min(received)
    }
}

impl View {
    /// From where to resume.
    pub(super) const fn seq(&self) -> i64 {
        self.seq
    }

    pub(super) const fn complete_until(&self) -> Option<Instant> {
        self.complete_until
    }

    /// Whether what is known may be taken for the present.
    pub(super) fn is_present(&self, now: Instant) -> bool {
        self.complete_until.is_some_and(|until| now.saturating_duration_since(until) < STALENESS_BOUND)
    }

    pub(super) fn learn_keys(&mut self, keys: KeySet) {
        self.keys = keys;
    }

    /// Takes in a message. `keys` come with a snapshot: entries that it no longer has may have been about older ones.
    pub(super) fn hear(
        &mut self,
        message: &v1::WatchRevocationsResponse,
        keys: Option<KeySet>,
        dial: &mut Dial,
        received: Instant,
    ) -> Result<(), Garbled> {
        let heard = self.take_in(message, keys, dial, received);
        if heard.is_err() {
            *self = Self { keys: std::mem::take(&mut self.keys), ..Self::default() };
        }
        heard
    }

    fn take_in(
        &mut self,
        message: &v1::WatchRevocationsResponse,
        keys: Option<KeySet>,
        dial: &mut Dial,
        received: Instant,
    ) -> Result<(), Garbled> {
        let time = message.server_time.as_ref().and_then(|at| instant(at.seconds, at.nanos)).ok_or(Garbled)?;
        if message.snapshot {
            self.keys = keys.ok_or(Garbled)?;
            (self.revocations, self.seq) = (Revocations::default(), 0);
        } else if self.complete_until.is_none() || message.seq < self.seq {
            return Err(Garbled);
        }
        for told in &message.entries {
            let entry = entry(told).filter(|entry| entry.seq <= message.seq).ok_or(Garbled)?;
            if entry.seq > self.seq {
                self.revocations.enter(&entry).map_err(|_| Garbled)?;
                self.seq = entry.seq;
            }
        }
        self.seq = message.seq;
        match message.floor {
            Some(floor) if (0..=message.seq).contains(&floor) => self.revocations.raise_floor(floor),
            Some(_) => return Err(Garbled),
            // The server is older than the floor, and forgets by its clock.
            None => self.revocations.forget(time - ENTRIES_KEPT),
        }
        let placed = dial.place(time, received);
        self.complete_until = self.complete_until.max(Some(placed));
        self.trouble = None;
        Ok(())
    }

    /// Whether `token` is a credential that may be accepted at `now`, which the clock on the wall calls `wall`.
    pub(super) fn check(
        &self,
        token: &str,
        expect: &Expect<'_>,
        now: Instant,
        wall: OffsetDateTime,
    ) -> Result<Verified, Denied> {
        if !self.is_present(now) {
            return Err(Denied::CutOff);
        }
        let verified = verify_credential(token, &self.keys, expect, wall)?;
        // Whoever has the key can write any `rev`: what it signed is dead whatever it says.
        if self.revocations.names_key(&verified.kid) {
            return Err(Refusal::KeyCompromised.into());
        }
        match self.revocations.kill(&verified) {
            Some(reason) => Err(Denied::Revoked(reason)),
            None if verified.single_use => Err(Denied::SingleUse),
            None => Ok(verified),
        }
    }
}

fn entry(told: &v1::RevocationEntry) -> Option<Revocation> {
    let kind = match told.kind() {
        v1::RevocationKind::Unspecified => return None,
        v1::RevocationKind::Sponsor => RevocationKind::Sponsor,
        v1::RevocationKind::Instance => RevocationKind::Instance,
        v1::RevocationKind::Credential => RevocationKind::Credential,
        v1::RevocationKind::Key => RevocationKind::Key,
        v1::RevocationKind::Tool => RevocationKind::Tool,
        v1::RevocationKind::All => RevocationKind::All,
    };
    let at = told.create_time.as_ref()?;
    Some(Revocation { seq: told.seq, kind, id: told.id.clone(), create_time: instant(at.seconds, at.nanos)? })
}

fn instant(seconds: i64, nanos: i32) -> Option<OffsetDateTime> {
    let whole = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    whole.checked_add(time::Duration::nanoseconds(nanos.into()))
}

#[cfg(test)]
mod tests;
