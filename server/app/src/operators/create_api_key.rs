//! CreateApiKey: creates a key for an operator, who must not be disabled. Its secret is shown once. Its roles are among
//! those of the operator and of the creator; a key may wait for a second person, and webhooks hear of a key for another
//! person's login.

use countersign_core::{
    api_key::{self, ApiKey, ApiKeyId},
    clock::uuid_v7,
    key_scope::KeyScope,
    names::OperatorId,
    operator::{OperatorRole, Roles},
};
use countersign_ledger::leaf::{Change as LeafChange, Kind, Leaf, Subject};
use countersign_store::{
    api_key::{self as stored_key, StoredKey},
    operator, person,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{create_operator::ensure_held, set_operator_roles::of_admin};
use crate::{
    App, Error, FourEyes, Idempotency, OperatorCaller,
    engine::{
        custody_leaf::timestamp,
        secrets::Secrets,
        transaction::{Change, ChangeTx},
    },
};

/// The operator, the roles and the lifetime.
#[derive(Debug, Clone)]
pub struct CreateApiKey {
    /// The operator who will own it.
    pub operator_id: OperatorId,
    /// Its roles; empty for all roles of the operator.
    pub roles: Roles,
    /// When it expires. `None` for the default lifetime.
    pub expire_time: Option<OffsetDateTime>,
    /// The tools and sponsors that it is limited to.
    pub scope: KeyScope,
}

/// A key, and its secret if it was not shown yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApiKeyCreated {
    /// The key.
    pub key: ApiKey,
    /// `csk_<id>_<secret>`. `None` for a repeated request id, because answers with a secret are not stored.
    #[serde(skip)]
    pub secret: Option<SecretString>,
}

/// A key that this caller creates.
struct Create<'a> {
    caller: &'a OperatorCaller,
    four_eyes: FourEyes,
    secrets: &'a Secrets,
    command: &'a CreateApiKey,
}

impl Change for Create<'_> {
    const METHOD: &'static str = "CreateApiKey";
    type Answer = ApiKeyCreated;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<ApiKeyCreated, Error> {
        let CreateApiKey { operator_id, roles, expire_time, scope } = self.command;
        let found = operator::get(tx.conn(), operator_id).await?;
        let owner = found.ok_or_else(|| Error::not_found("operator", operator_id))?;
        if owner.disable_time.is_some() {
            return Err(Error::IllegalTransition(format!(
                "operator {operator_id} is disabled: a key would not be accepted"
            )));
        }
        let roles = if roles.is_empty() { owner.roles } else { *roles };
        let beyond = roles.without(owner.roles);
        if !beyond.is_empty() {
            return Err(Error::invalid("roles", format!("must be roles of {operator_id}, who does not have {beyond}")));
        }
        let wrong = scope.check(roles);
        if !wrong.is_empty() {
            return Err(Error::Invalid(wrong));
        }
        ensure_held(self.caller, roles)?;
        let login = tx.login(operator_id).await?;
        if roles.has(OperatorRole::Admin) {
            self.four_eyes.hold(of_admin(self.caller, &login))?;
        }
        let end = api_key::expiry(*expire_time, tx.now()).map_err(|why| Error::invalid("expire_time", why))?;
        let waits = self.four_eyes.of_key(tx, self.caller, &login, roles).await?;
        let mut fresh = FreshKey::make(tx, self.secrets, operator_id, roles, end);
        (fresh.stored.key.made_by, fresh.stored.key.confirmed) = (Some(self.caller.operator_id.clone()), !waits);
        fresh.stored.key.scope = scope.clone();
        let leaf = tx.leaf(Kind::OperatorKeyCreated, &self.caller.operator_id);
        let log_index = fresh.store(tx, leaf, "").await?;
        let maker = tx.login(&self.caller.operator_id).await?;
        // The creator knows the key. That a person can log in as someone else is reported, if there is someone else.
        if maker.person.map(|person| person.person_id) != login.person.as_ref().map(|person| person.person_id.clone()) {
            tx.tell_of_login("key_created", &login, &self.caller.operator_id, log_index)?;
        }
        Ok(ApiKeyCreated { key: fresh.stored.key, secret: Some(fresh.text) })
    }
}

/// The state of a key that waits for a second person.
pub(crate) const PENDING: &str = "PENDING";

/// A key that is not stored yet.
pub(crate) struct FreshKey {
    pub(crate) stored: StoredKey,
    /// `csk_<id>_<secret>`.
    pub(crate) text: SecretString,
}

impl FreshKey {
    /// Creates a key with a random secret.
    pub(crate) fn make(
        tx: &ChangeTx,
        secrets: &Secrets,
        operator_id: &OperatorId,
        roles: Roles,
        expire_time: OffsetDateTime,
    ) -> Self {
        let key_id = ApiKeyId(uuid_v7(tx.now(), tx.entropy()));
        let secret = secrets.fresh_secret(key_id, tx.entropy());
        let key = ApiKey {
            key_id,
            operator_id: operator_id.clone(),
            roles,
            create_time: tx.now(),
            expire_time: Some(expire_time),
            revoke_time: None,
            made_by: None,
            confirmed: true,
            scope: KeyScope::default(),
        };
        let secret_hash = secrets.api_hash(&secret);
        Self { stored: StoredKey { key, secret_hash }, text: api_key::write(key_id, &secret).into() }
    }

    /// Stores it; `leaf` becomes its event, and `reason` is the reason in words.
    pub(crate) async fn store(&self, tx: &mut ChangeTx, leaf: Leaf<'static>, reason: &str) -> Result<i64, Error> {
        stored_key::insert(tx.conn(), &self.stored).await?;
        let now = tx.now();
        person::note_two(tx.conn(), now).await?;
        let key = &self.stored.key;
        let set = |field: &'static str, value: Option<String>| LeafChange {
            field: field.into(),
            after: value.map(Into::into),
            ..LeafChange::default()
        };
        // A sponsor without a role has a key without one.
        let roles = Some(key.roles.to_string()).filter(|roles| !roles.is_empty());
        let changes = [
            ("expire_time", key.expire_time.map(|end| timestamp(end).to_string())),
            ("operator_id", Some(key.operator_id.to_string())),
            ("roles", roles),
            ("scope_sponsors", key.scope.sponsors_text()),
            ("scope_tools", key.scope.tools_text()),
            ("standing", (!key.confirmed).then(|| PENDING.to_owned())),
        ];
        let changes = changes.into_iter().filter(|(_, value)| value.is_some());
        let changes = changes.map(|(field, value)| set(field, value)).collect();
        let (log_index, _) = tx.append(Leaf { changes, subject: Some(subject(key.key_id)), ..leaf }, reason)?;
        Ok(log_index)
    }
}

/// A key as the subject of an event.
pub(crate) fn subject(key_id: ApiKeyId) -> Subject<'static> {
    Subject { id: Some(key_id.to_string().into()), kind: "api_key".into() }
}

impl App {
    /// Creates a key for an operator.
    pub async fn create_api_key(
        &self,
        caller: &OperatorCaller,
        command: CreateApiKey,
        idempotency: Option<Idempotency>,
    ) -> Result<ApiKeyCreated, Error> {
        let change = Create {
            caller,
            four_eyes: self.inner.engine.config.four_eyes,
            secrets: &self.inner.engine.secrets,
            command: &command,
        };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}
