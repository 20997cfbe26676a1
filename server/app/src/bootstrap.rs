//! The start of a server, the first and every later one: log partitions, secrets and signing keys, the first
//! administrator and its key, the default name of the log, the policy file (stored, and activated or rolled out if no
//! policy answers), the dev installation with its operators and sponsor.
//!
//! Each step checks whether it was done before. So a start that was interrupted is completed by the next one, and
//! servers that start at once do each step only once.

use std::{fmt, io, sync::Arc, time::Instant};

use countersign_core::{
    api_key,
    clock::{Clock, Entropy},
    credential::KeyStanding,
    ids::PolicyVersion,
    names::OperatorId,
    operator::{BOOTSTRAP, Operator, OperatorRole, Roles},
    rollout::{Baseline, Percent, StickyKey},
    sponsor::{SponsorState, Transition},
};
use countersign_ledger::leaf::Kind;
use countersign_policy::{CompiledPolicy, content_hash};
use countersign_store::{Store, database_time, event, head::Head, operator, policy, rollout, signing_key};
use secrecy::ExposeSecret as _;
use time::Duration;

use crate::{
    App, Background, Config, CreatePolicy, Error, FourEyes, KeyEncryptionKeys, OperatorCaller, RegisterSponsor,
    StartRollout, TransitionSponsor,
    authn::known_grants::KnownGrants,
    authority::{
        Authority,
        compiled_policies::{LoadedPolicy, Need},
        snapshot::{Loaded, Loader},
    },
    caller::bootstrap_id,
    custody::checkpoints::log_key::LogKey,
    engine::{context::Context, secrets::Secrets, timekeeper::Timekeeper, transaction::ChangeTx},
    keys::signing_keys::{activate, make_next},
    operators::{create_api_key::FreshKey, create_operator::add_operator, persons::of_the_machine},
    policies::{
        activate_policy::{Activate, ActivatePolicy},
        compile::compile,
        create_policy::Create,
    },
    recorder::Recorder,
    revocations::revocation_floor::move_floor,
    rollouts::start_rollout::Start,
    sponsors::{register_sponsor::Register, transition_sponsor::TransitionBy},
    workers::Queues,
};

/// Receives the first administrator's key. It is called before the key is stored, so that a key that cannot be
/// delivered is not created.
pub type FirstAdmin = Box<dyn Fn(&str) -> io::Result<()> + Send + Sync>;
/// Receives the key of a dev operator: the operator's id, and the key.
pub type HandOver = Box<dyn Fn(&str, &str) -> io::Result<()> + Send + Sync>;

/// The content of a dev installation: two operators for trying four eyes, and the sponsor alice.
pub struct DevKeys {
    /// Receives the key of a dev operator, by the operator's id.
    pub hand_over: HandOver,
}

impl fmt::Debug for DevKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DevKeys")
    }
}

/// A policy document that is loaded at start.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    /// Its text.
    pub document: String,
    /// Its path, for messages.
    pub path: String,
}

impl App {
    /// Prepares the database and starts the recorder and the workers.
    pub async fn start(
        store: Store,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        config: Config,
        keys: KeyEncryptionKeys,
        first_admin: &FirstAdmin,
    ) -> Result<(Self, Background), Error> {
        let (app, queues) = Self::on_database(store, clock, entropy, config, keys, first_admin).await?;
        let background = Background::start(&app, queues);
        Ok((app, background))
    }

    /// Prepares the database. Nothing works on the queues yet.
    pub(crate) async fn on_database(
        store: Store,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        config: Config,
        keys: KeyEncryptionKeys,
        first_admin: &FirstAdmin,
    ) -> Result<(Self, Queues), Error> {
        let clock = Arc::new(Timekeeper::new(clock));
        {
            let mut conn = store.writing().await?;
            let asked = Instant::now();
            let now = database_time(&mut conn).await?;
            clock.compare(&mut conn, asked, now, true).await?;
            event::ensure_partitions(&mut conn, now - Duration::DAY, 4).await?;
            conn.done().await?;
        }
        let (secrets, log_key) = prepare(&store, &clock, &entropy, keys, first_admin, &config).await?;
        let loader = Loader::new(config.trust_domain.clone());
        let snapshot = loop {
            let mut tx = store.begin_snapshot().await?;
            let (head, _) = Head::read(&mut tx).await?;
            let missing = match loader.load(&mut tx, &head, None, &secrets, clock.earliest()).await? {
                Loaded::Ready(snapshot) => break snapshot,
                Loaded::Missing(missing) => missing,
            };
            drop(tx);
            loader.policies.compile(&store, missing, Need::Ahead).await?;
        };
        let (recorder, queue) = Recorder::new(config.recorder_queue);
        let (grants, lookups) = KnownGrants::new();
        let engine = Arc::new(Context::new(store, clock, entropy, config, secrets));
        let app = Self::new(Authority::new(engine, loader, snapshot), recorder, grants, log_key);
        app.compare_with_kept_checkpoint().await?;
        match app.keep_x509_authorities().await {
            // The worker does it once the clocks agree.
            Ok(()) | Err(Error::ClockSkew { .. }) => {}
            Err(error) => return Err(error),
        }
        app.warn_of_unconfirmed().await?;
        let Config { default_ttl, max_ttl, .. } = app.inner.engine.config;
        metrics::gauge!("countersign_token_ttl_seconds", "bound" => "default").set(default_ttl);
        metrics::gauge!("countersign_token_ttl_seconds", "bound" => "max").set(max_ttl);
        Ok((app, Queues { work: queue, lookups }))
    }

    /// Loads a policy file: stores it if it is new, and if no policy is active yet, activates it, with its rollout if
    /// it has one. Returns what was done, for the log.
    pub async fn load_policy_file(&self, file: &PolicyFile) -> Result<String, Error> {
        let by: OperatorId = bootstrap_id()?;
        // A document that is stored already was checked then.
        let hash = content_hash(&file.document, "");
        let known = policy::by_content(&mut *self.inner.engine.store.connection().await?, &hash).await?;
        let compiled = if let Some((version, _)) = known {
            self.inner.authority.policy(version).await?
        } else {
            let compiled = compile(file.document.clone(), String::new()).await?;
            Arc::new(LoadedPolicy { version: PolicyVersion(0), compiled })
        };
        let compiled = &compiled.compiled;
        let command = CreatePolicy {
            document: file.document.clone(),
            cedar: String::new(),
            reason: Some("loaded from the policy file at start".to_owned()),
        };
        let create = Create {
            operator_id: &by,
            command: &command,
            content_hash: compiled.content_hash(),
            rule_count: compiled.rules().len(),
        };
        let version = self.change(BOOTSTRAP, None, &create).await?.version;
        if self.anything_answers().await? {
            let active = policy::active_baseline(&mut *self.inner.engine.store.connection().await?).await?;
            return Ok(if active == Some(Baseline::Version(version)) {
                format!("policy {version} ({}) is active", file.path)
            } else {
                format!("policy {version} ({}) is stored and not active: activate it or start a rollout", file.path)
            });
        }
        match self.first_policy(&by, version, compiled).await {
            // Another server that starts at the same time did it.
            Err(Error::RolloutOpen(_)) => Ok(format!("policy {version} ({}) is stored", file.path)),
            Err(error) => Err(error),
            Ok(done) => Ok(format!("policy {version} ({}) {done}", file.path)),
        }
    }

    async fn anything_answers(&self) -> Result<bool, Error> {
        let mut conn = self.inner.engine.store.connection().await?;
        Ok(policy::active_baseline(&mut conn).await?.is_some() || rollout::open(&mut conn).await?.is_some())
    }

    async fn first_policy(
        &self,
        by: &OperatorId,
        version: PolicyVersion,
        compiled: &CompiledPolicy,
    ) -> Result<String, Error> {
        let reason = "the first policy of this installation".to_owned();
        let Some(spec) = compiled.rollout().filter(|spec| spec.percent < Percent::ALL) else {
            let command = ActivatePolicy { version, reason };
            self.change(
                BOOTSTRAP,
                None,
                &Activate { operator_id: by, four_eyes: FourEyes::default(), command: &command },
            )
            .await?;
            return Ok("is active for everyone".to_owned());
        };
        let command = StartRollout {
            baseline: spec.baseline,
            candidate: version,
            percent: Some(spec.percent),
            sticky_key: spec.sticky_key.unwrap_or(StickyKey::RootInstance),
            steps: spec.steps.clone().unwrap_or_default(),
            increment_per_day: spec.increment,
            gates: spec.gates.clone(),
            min_soak_seconds: spec.min_soak_seconds.map(u64::from),
            scope: spec.scope.clone(),
            reason,
        };
        self.change(
            BOOTSTRAP,
            None,
            &Start { operator_id: by, by_person: false, four_eyes: FourEyes::default(), command: &command },
        )
        .await?;
        let rest = spec.percent.rest();
        let others = match spec.baseline.unwrap_or(Baseline::Observe) {
            Baseline::Observe => format!("the other {rest} % are allowed and recorded"),
            Baseline::Deny => format!("the other {rest} % are denied"),
            Baseline::Version(version) => format!("{version} is enforced for the other {rest} %"),
        };
        Ok(format!("enforced for {} % of callers; {others}", spec.percent))
    }

    /// Fills a new dev installation: operators `rita` and `oscar`, and sponsor `alice` with every role, registered by
    /// one and approved by the other.
    pub async fn seed_dev(&self, keys: &DevKeys, roles: &[countersign_core::names::RoleName]) -> Result<(), Error> {
        use OperatorRole::{Approver, Auditor, Gate, Issuer, PolicyAdmin, Registrar};
        let rita = self.dev_operator(keys, "rita", &[Registrar, Issuer, Gate, PolicyAdmin, Auditor]).await?;
        let oscar = self.dev_operator(keys, "oscar", &[Approver, PolicyAdmin, Auditor]).await?;
        let name = |text: &str| text.parse().map_err(|error| Error::internal("a built-in name is invalid", error));
        let command = RegisterSponsor {
            sponsor_id: name("alice")?,
            display_name: "Alice Example".to_owned(),
            email: "alice@example.com".to_owned(),
            person_id: Some("alice".parse().map_err(|error| Error::internal("a built-in name is invalid", error))?),
            roles: roles.to_vec(),
            max_ttl_seconds: None,
            max_depth: None,
            labels: std::collections::BTreeMap::new(),
        };
        match self.change(BOOTSTRAP, None, &Register { caller: &rita, command: &command }).await {
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
        if self.get_sponsor(&rita, &command.sponsor_id).await?.state == SponsorState::Pending {
            let command = TransitionSponsor {
                sponsor_id: command.sponsor_id,
                transition: Transition::Approve,
                reason: "the sponsor of a fresh dev installation".to_owned(),
                etag: None,
                review_due_at: None,
            };
            match self.change(BOOTSTRAP, None, &TransitionBy::of(&oscar, FourEyes::default(), &command)).await {
                // Another server that starts at the same time did it.
                Ok(_) | Err(Error::IllegalTransition(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn dev_operator(&self, keys: &DevKeys, id: &str, roles: &[OperatorRole]) -> Result<OperatorCaller, Error> {
        let operator_id: OperatorId =
            id.parse().map_err(|error| Error::internal("a built-in name is invalid", error))?;
        let caller = OperatorCaller { operator_id, roles: Roles::of(roles), anonymous: false, scope: None };
        let inner = &self.inner;
        let mut tx = ChangeTx::begin(&inner.engine.store, &*inner.engine.clock, &inner.engine.entropy).await?;
        if operator::get(tx.conn(), &caller.operator_id).await?.is_none() {
            first_operator(&mut tx, &caller, &inner.engine.secrets, &|key| (keys.hand_over)(id, key)).await?;
            tx.finish().await?;
        }
        Ok(caller)
    }
}

/// Creates secrets, signing keys and the first administrator, once per database.
async fn prepare(
    store: &Store,
    clock: &Timekeeper,
    entropy: &Arc<dyn Entropy>,
    keys: KeyEncryptionKeys,
    first_admin: &FirstAdmin,
    config: &Config,
) -> Result<(Secrets, LogKey), Error> {
    let mut tx = ChangeTx::begin(store, clock, entropy).await?;
    let secrets = Secrets::load(&mut tx, keys).await?;
    if signing_key::standing(tx.conn(), KeyStanding::Active).await?.is_none() {
        // There is nothing to stop yet, and keys with a wrong date would not rotate for as long as the clock was ahead.
        clock.trust()?;
        let mut first = match signing_key::standing(tx.conn(), KeyStanding::Next).await? {
            Some(next) => next.record,
            None => make_next(&mut tx, &secrets, None).await?,
        };
        activate(&mut tx, &mut first, None, "").await?;
    }
    if signing_key::standing(tx.conn(), KeyStanding::Next).await?.is_none() {
        make_next(&mut tx, &secrets, None).await?;
    }
    let log_key = LogKey::load(&mut tx, &secrets, config.log_origin.as_deref(), &origin_of(&config.issuer)).await?;
    if !operator::any(tx.conn()).await? {
        let operator_id = "admin".parse().map_err(|error| Error::internal("a built-in name is invalid", error))?;
        let admin = OperatorCaller { operator_id, roles: Roles::all(), anonymous: false, scope: None };
        first_operator(&mut tx, &admin, &secrets, &**first_admin).await?;
    }
    // After an update from a version without a floor, or after a long stop, this avoids loading all old entries. It
    // waits while the clocks differ: no one would lose rights by it, but every run would have to renew.
    if clock.doubt().is_none() {
        move_floor(&mut tx).await?;
    }
    tx.finish().await?;
    Ok((secrets, log_key))
}

/// The name of the log of an installation that does not name it: a URL without its scheme, as C2SP recommends. It has no
/// spaces and no plus signs, which the name of a key must not have.
fn origin_of(issuer: &str) -> String {
    let host = issuer.split_once("://").map_or(issuer, |(_, rest)| rest).trim_end_matches('/');
    let name: String = host.chars().filter(|c| c.is_ascii_graphic() && *c != '+').collect();
    format!("{name}/log")
}

/// An operator and their key, which is delivered before it is stored.
async fn first_operator(
    tx: &mut ChangeTx,
    caller: &OperatorCaller,
    secrets: &Secrets,
    hand_over: &(dyn Fn(&str) -> io::Result<()> + Send + Sync),
) -> Result<(), Error> {
    let OperatorCaller { operator_id, roles, .. } = caller.clone();
    let key = FreshKey::make(tx, secrets, &operator_id, roles, tx.now() + api_key::DEFAULT_LIFE);
    hand_over(key.text.expose_secret()).map_err(|error| Error::internal("an API key cannot be handed over", error))?;
    let display_name = operator_id.to_string();
    let operator = Operator::new(operator_id, display_name, roles, tx.now());
    let created = tx.own_leaf(Kind::OperatorCreated);
    add_operator(tx, &operator, &bootstrap_id()?, created).await?;
    let binding = of_the_machine(&operator.operator_id, tx)?;
    let bound = tx.own_leaf(Kind::OperatorChanged);
    tx.write_binding(&binding, None, bound, "").await?;
    let key_created = tx.own_leaf(Kind::OperatorKeyCreated);
    key.store(tx, key_created, "").await?;
    Ok(())
}
