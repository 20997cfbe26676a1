//! RegisterSponsor: stores a sponsor as PENDING, with the default limits (TTL, depth) where none are named.

use std::collections::BTreeMap;

use countersign_core::{
    grant::HARD_MAX_TTL,
    names::{PersonId, RoleName, SponsorId},
    sponsor::{DEFAULT_MAX_DEPTH, Sponsor, SponsorState},
};
use countersign_ledger::{
    commitment::identity_text,
    export::Disclosed,
    leaf::{self, Kind, Leaf, Terms},
};
use countersign_store::{StoreError, sponsor};

use crate::{
    App, Error, Idempotency, OperatorCaller,
    engine::{
        custody_leaf::timestamp,
        transaction::{Change, ChangeTx},
    },
};

/// The human, and their limits.
#[derive(Debug, Clone)]
pub struct RegisterSponsor {
    /// The chosen id.
    pub sponsor_id: SponsorId,
    /// The person's name.
    pub display_name: String,
    /// The person's e-mail address.
    pub email: String,
    /// The person, as in the bindings of logins. `None` if no login belongs to them.
    pub person_id: Option<PersonId>,
    /// Roles that instances may have.
    pub roles: Vec<RoleName>,
    /// Longest credential in seconds. `None` for the hard maximum.
    pub max_ttl_seconds: Option<u32>,
    /// Deepest delegation. `None` for the default.
    pub max_depth: Option<u32>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
}

/// A registration by this caller.
pub(crate) struct Register<'a> {
    pub(crate) caller: &'a OperatorCaller,
    pub(crate) command: &'a RegisterSponsor,
}

impl Change for Register<'_> {
    const METHOD: &'static str = "RegisterSponsor";
    type Answer = Sponsor;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Sponsor, Error> {
        let command = self.command;
        let mut sponsor = Sponsor {
            sponsor_id: command.sponsor_id.clone(),
            display_name: command.display_name.clone(),
            email: command.email.clone(),
            person_id: command.person_id.clone(),
            person_confirmed: false,
            roles: command.roles.clone(),
            max_ttl_seconds: command.max_ttl_seconds.unwrap_or(HARD_MAX_TTL),
            max_depth: command.max_depth.unwrap_or(DEFAULT_MAX_DEPTH),
            state: SponsorState::Pending,
            review_due_at: None,
            create_time: tx.now(),
            approve_time: None,
            revoke_time: None,
            revision: 1,
            labels: command.labels.clone(),
            registered_by: self.caller.operator_id.clone(),
            changed_by: None,
            terms_by: Vec::new(),
            suspend_cause: None,
            departure: None,
            grant_leaf: None,
        };
        let named = command.person_id.as_ref().map(|person| leaf::Change {
            field: "person_id".into(),
            after: Some(person.to_string().into()),
            ..leaf::Change::default()
        });
        let mut leaf = Leaf {
            changes: named.into_iter().collect(),
            sponsor_id: Some(sponsor.sponsor_id.as_str().to_owned().into()),
            state_after: Some(sponsor.state.as_str().into()),
            terms: Some(terms(&sponsor)),
            ..tx.leaf(Kind::SponsorRegistered, &self.caller.operator_id)
        };
        let identity = identity_text(&sponsor.display_name, &sponsor.email);
        let identity = tx.commit_to(&identity, &mut leaf.identity_commitment);
        let (_, hash) = tx.append_disclosing(&leaf, Disclosed { identity, ..Disclosed::default() })?;
        // An approval is based on the registration that it approves.
        sponsor.grant_leaf = Some(hash);
        match sponsor::insert(tx.conn(), &sponsor).await {
            Err(StoreError::Exists { .. }) => {
                Err(Error::AlreadyExists { what: "sponsor", id: sponsor.sponsor_id.to_string() })
            }
            other => Ok(other.map(|()| sponsor)?),
        }
    }
}

/// The terms of a sponsor in the form of a leaf.
pub(crate) fn terms(sponsor: &Sponsor) -> Terms<'static> {
    Terms {
        max_depth: sponsor.max_depth,
        max_ttl_seconds: sponsor.max_ttl_seconds,
        review_due_time: sponsor.review_due_at.map(timestamp),
        roles: sponsor.roles.iter().map(|role| role.as_str().to_owned().into()).collect(),
        ..Terms::default()
    }
}

impl App {
    /// Stores a sponsor as PENDING, until a second operator approves them.
    pub async fn register_sponsor(
        &self,
        caller: &OperatorCaller,
        command: RegisterSponsor,
        idempotency: Option<Idempotency>,
    ) -> Result<Sponsor, Error> {
        let change = Register { caller, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}
