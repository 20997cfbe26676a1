//! Open Cybersecurity Schema Framework. The exported form is `unmapped.countersign`; everything else is OCSF.
//!
//! Four classes. What runs ask and do, and what is refused, is API Activity. Sponsors and operators are persons and
//! logins, so User Management (Account Change is deprecated since 1.9). A credential grants a run its tools: Authorize
//! Session. Everything else is an object that is managed: Entity Management.

use serde_json::Value;

use super::{Object, Severity, Source, actor, by_a_run, enforced, login, severity, summary};
use crate::leaf::{Grant, Kind, Leaf};
use countersign_core::decision::{Effect, Outcome};

/// The version of the schema.
const OCSF_VERSION: &str = "1.9.0";

/// For a required text that the event does not state.
const UNKNOWN: &str = "Unknown";

/// `Other` in every enumeration.
const OTHER: u8 = 99;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    AuthorizeSession,
    EntityManagement,
    UserManagement,
    ApiActivity,
}

impl Class {
    const fn uid(self) -> u32 {
        match self {
            Self::AuthorizeSession => 3003,
            Self::EntityManagement => 3004,
            Self::UserManagement => 3007,
            Self::ApiActivity => 6003,
        }
    }
}

/// The class of a kind, and its activity: the number and the caption, which for [`OTHER`] is ours.
const fn classify(kind: Kind) -> (Class, u8, &'static str) {
    use Class::{ApiActivity, AuthorizeSession, EntityManagement, UserManagement};
    use Kind as K;
    match kind {
        K::Decision | K::Unattributed => (ApiActivity, OTHER, "Authorize"),
        K::ToolCall => (ApiActivity, OTHER, "Execute Tool"),
        K::RefusalsUnanswered | K::AdministrationRefused => (ApiActivity, OTHER, "Refuse"),

        K::SponsorRegistered | K::OperatorCreated => (UserManagement, 1, "Create"),
        K::SponsorRecertified | K::SponsorChanged | K::OperatorChanged => (UserManagement, 2, "Update"),
        K::SponsorApproved | K::SponsorReinstated => (UserManagement, 4, "Enable"),
        K::SponsorSuspended | K::SponsorDeparted | K::SponsorRevoked => (UserManagement, 5, "Disable"),
        K::OperatorKeyCreated => (UserManagement, 18, "Add Programmatic Credentials"),
        K::OperatorKeyRevoked => (UserManagement, 19, "Remove Programmatic Credentials"),
        K::SponsorRejected => (UserManagement, OTHER, "Reject"),

        K::CredentialIssued | K::Delegated => (AuthorizeSession, 1, "Assign Privileges"),

        K::SvidIssued | K::PolicyCreated | K::RolloutStarted | K::KeyCreated | K::ApprovalRequested => {
            (EntityManagement, 1, "Create")
        }
        K::RolloutAdvanced | K::RevocationFloorMoved | K::KeysRewrapped | K::CacheExtensionChanged => {
            (EntityManagement, 3, "Update")
        }
        K::KillSwitchReleased => (EntityManagement, 8, "Enable"),
        K::InstanceRevoked | K::Revocation | K::KeyCompromised | K::KillSwitchEngaged => {
            (EntityManagement, 9, "Disable")
        }
        K::PolicyActivated | K::KeyActivated => (EntityManagement, 10, "Activate"),
        K::InstanceEnded | K::KeyRetired | K::RolloutRolledBack => (EntityManagement, 11, "Deactivate"),
        K::InstanceOrphaned | K::RolloutPaused => (EntityManagement, 12, "Suspend"),
        K::InstanceAccepted | K::RolloutResumed => (EntityManagement, 13, "Resume"),
        K::ApprovalApproved => (EntityManagement, OTHER, "Approve"),
        K::ApprovalRejected => (EntityManagement, OTHER, "Reject"),
        K::ApprovalExpired => (EntityManagement, OTHER, "Expire"),
        K::RolloutCompleted => (EntityManagement, OTHER, "Complete"),
        K::Erasure => (EntityManagement, OTHER, "Erase"),
        K::LegalHoldPlaced => (EntityManagement, OTHER, "Place Legal Hold"),
        K::LegalHoldReleased => (EntityManagement, OTHER, "Release Legal Hold"),
        K::Archive => (EntityManagement, OTHER, "Archive"),
        K::Manifest => (EntityManagement, OTHER, "Summarize"),
        K::CheckpointOverridden => (EntityManagement, OTHER, "Override Checkpoint"),
    }
}

pub(super) fn render(source: Source<'_>) -> Value {
    let leaf = source.leaf;
    let (class, activity, name) = classify(leaf.kind);
    let (status_id, status) = status(leaf);
    let (severity_id, severity) = severity_id(severity(leaf));
    let decided = class == Class::ApiActivity && leaf.effect.is_some();
    let traced = leaf.trace_id.filter(|_| class == Class::ApiActivity);
    let ai = leaf.agent_instance_id.is_some();
    let profiles = [
        ai.then_some("ai_operation"),
        Some("record_integrity"),
        decided.then_some("security_control"),
        traced.map(|_| "trace"),
    ];
    let profiles: Vec<&str> = profiles.into_iter().flatten().collect();
    let mut object = Object::default()
        .with("activity_id", activity)
        .with("activity_name", name)
        .with("actor", actor_of(leaf))
        .with("attestation_list", vec![Value::from(attestation(&source))])
        .with("category_uid", class.uid() / 1000)
        .with("class_uid", class.uid())
        .with("message", summary(leaf))
        .with("metadata", metadata(leaf, profiles))
        .with("severity", severity)
        .with("severity_id", severity_id)
        .with("status", status)
        .with("status_id", status_id)
        .with("time", leaf.timestamp.micros() / 1000)
        .with("timezone_offset", 0)
        .with("type_uid", class.uid() * 100 + u32::from(activity))
        .maybe("status_code", leaf.reason.as_deref())
        .maybe("ai_agent", ai_agent(leaf))
        .maybe("delegation", delegation(&source))
        .maybe("trace", traced.map(|id| Object::default().with("uid", id.to_string())));
    object = match class {
        Class::ApiActivity => object.with("api", api(leaf)).with("src_endpoint", endpoint(leaf)),
        Class::UserManagement => object.with("user", user(leaf)),
        Class::AuthorizeSession => session(object, &source),
        Class::EntityManagement => object.with("entity", entity(&source)),
    };
    if decided {
        object = control(object, leaf);
    }
    object.with("unmapped", Object::default().with("countersign", source.export)).into()
}

fn metadata(leaf: &Leaf<'_>, profiles: Vec<&str>) -> Object {
    Object::default()
        .with("event_code", leaf.kind.as_str())
        .with("log_name", "custody")
        .with("processed_time", leaf.received_time.micros() / 1000)
        .with("product", Object::default().with("name", "Countersign").with("vendor_name", "Countersign"))
        .with("profiles", profiles)
        .with("uid", leaf.event_id.as_ref())
        .with("version", OCSF_VERSION)
        .maybe("correlation_uid", leaf.policy_decision_id.as_deref())
}

/// The leaf hash binds the leaf and not this object, so neither the algorithm nor the serialisation is one that OCSF
/// names: a verifier would recompute them from this object.
fn attestation(source: &Source<'_>) -> Object {
    let fingerprint = Object::default()
        .with("algorithm", "RFC 6962 leaf hash, SHA-256")
        .with("algorithm_id", OTHER)
        .with("encoding_id", 1)
        .with("serialization", source.leaf.schema.as_str())
        .with("serialization_id", OTHER)
        .with("value", source.exported("leaf_hash"));
    Object::default()
        .with("authority_uid", source.origin)
        .with("chain_uid", source.origin)
        .with("fingerprint", fingerprint)
        .with("uid", source.exported("log_index"))
}

const fn severity_id(severity: Severity) -> (u8, &'static str) {
    match severity {
        Severity::Informational => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
    }
}

/// How what the event is about came out. A call that is refused failed; one that was refused in shadow went on.
fn status(leaf: &Leaf<'_>) -> (u8, &'static str) {
    const SUCCESS: (u8, &str) = (1, "Success");
    const FAILURE: (u8, &str) = (2, "Failure");
    match leaf.kind {
        Kind::Decision | Kind::Unattributed => match leaf.effect {
            Some(Effect::Allow) => SUCCESS,
            Some(Effect::Deny | Effect::RequireApproval) if !enforced(leaf) => SUCCESS,
            Some(Effect::RequireApproval) => (OTHER, Effect::RequireApproval.as_str()),
            Some(Effect::Deny) | None => FAILURE,
        },
        Kind::ToolCall => match leaf.outcome {
            Some(Outcome::Success) => SUCCESS,
            Some(Outcome::Failure) => FAILURE,
            Some(Outcome::NotExecuted) => (OTHER, Outcome::NotExecuted.as_str()),
            Some(Outcome::Unknown) | None => (0, UNKNOWN),
        },
        Kind::RefusalsUnanswered | Kind::AdministrationRefused => FAILURE,
        _ => SUCCESS,
    }
}

/// The profile `security_control`: what was done with the call, and by which policy.
fn control(object: Object, leaf: &Leaf<'_>) -> Object {
    let (action, disposition) = match leaf.effect {
        // Allowed, Allowed.
        Some(Effect::Allow) => (1, 1),
        // Observed, Logged.
        _ if !enforced(leaf) => (3, 17),
        Some(Effect::RequireApproval) => (OTHER, OTHER),
        // Denied, Unauthorized.
        Some(Effect::Deny) | None => (2, 26),
    };
    let other = |id: u8| leaf.effect.filter(|_| id == OTHER).map(Effect::as_str);
    let policy = leaf.policy_version.as_deref();
    let policy = policy.map(|version| Object::default().with("is_applied", enforced(leaf)).with("uid", version));
    let authorization = Object::default().maybe("decision", leaf.effect.map(Effect::as_str)).maybe("policy", policy);
    object
        .maybe("action", other(action))
        .with("action_id", action)
        .with("authorizations", vec![Value::from(authorization)])
        .maybe("disposition", other(disposition))
        .with("disposition_id", disposition)
}

/// The principal of the event, and the run's credential.
fn actor_of(leaf: &Leaf<'_>) -> Object {
    let session = || {
        let uid = leaf.agent_instance_id.as_deref()?;
        Some(Object::default().with("uid", uid).maybe("credential_uid", leaf.credential_id.as_deref()))
    };
    let object = Object::default().maybe("session", by_a_run(leaf.kind).then(session).flatten());
    match actor(leaf) {
        Some(id) => object.with("user", Object::default().with("uid", id)),
        // The server did it itself, or it is not known who called.
        None if classify(leaf.kind).0 == Class::ApiActivity => object.with("app_name", UNKNOWN),
        None => object.with("app_name", "Countersign"),
    }
}

fn ai_agent(leaf: &Leaf<'_>) -> Option<Object> {
    let object = Object::default().with("instance_uid", leaf.agent_instance_id.as_deref()?);
    let Some(grant) = &leaf.grant else {
        // Only grants state which agent it is; OCSF requires a name or a uid.
        return Some(object.with("name", UNKNOWN));
    };
    let model = grant.model.as_deref();
    let model = model.map(|model| Object::default().with("ai_provider", UNKNOWN).with("name", model));
    let platform = grant.platform.as_deref();
    Some(
        object
            .with("uid", grant.agent.as_ref())
            .maybe("ai_model", model)
            .maybe("type", platform)
            .maybe("type_id", platform.map(|_| OTHER))
            .maybe("version", grant.agent_version.as_deref()),
    )
}

/// The authority under which a run acts. It outlives the credentials, which are renewed within minutes, and only runs
/// name their parents: so a run's id is the delegation's, and the credential is in the session.
fn delegation(source: &Source<'_>) -> Option<Object> {
    let leaf = source.leaf;
    Some(
        Object::default()
            .with("uid", leaf.agent_instance_id.as_deref()?)
            .with("issuer_uid", source.origin)
            .maybe("parent_uid", leaf.parent_agent_id.as_deref()),
    )
}

fn api(leaf: &Leaf<'_>) -> Object {
    let method = leaf.subject.as_ref().filter(|_| leaf.kind == Kind::AdministrationRefused);
    let method = method.and_then(|subject| subject.id.as_deref());
    let request = leaf.policy_decision_id.as_deref().map(|id| Object::default().with("uid", id));
    let response = leaf.outcome.map(|outcome| Object::default().with("message", outcome.as_str()));
    let service = leaf.tool_id.as_deref().map(|tool| Object::default().with("name", tool));
    Object::default()
        .with("operation", leaf.action.as_deref().or(method).unwrap_or(UNKNOWN))
        .maybe("request", request)
        .maybe("response", response)
        .maybe("service", service)
}

/// Where the call came from, which is not an address: the run, or what reported it.
fn endpoint(leaf: &Leaf<'_>) -> Object {
    let uid = leaf.agent_instance_id.as_deref().or(leaf.emitter_id.as_deref()).or(leaf.operator_id.as_deref());
    match uid {
        Some(uid) => Object::default().with("uid", uid),
        None => Object::default().with("name", UNKNOWN),
    }
}

/// The person or login that the event is about.
fn user(leaf: &Leaf<'_>) -> Object {
    let key = leaf.subject.as_ref().filter(|subject| subject.kind == "api_key");
    let key = key.and_then(|subject| subject.id.as_deref());
    let key = key.map(|id| vec![Value::from(Object::default().with("type", "API Key").with("uid", id))]);
    let object = Object::default().maybe("programmatic_credentials", key);
    match login(leaf).or(leaf.sponsor_id.as_deref()) {
        Some(uid) => object.with("uid", uid),
        None => object.with("name", UNKNOWN),
    }
}

fn session(object: Object, source: &Source<'_>) -> Object {
    let leaf = source.leaf;
    let session = Object::default()
        .with("issuer", source.origin)
        .maybe("credential_uid", leaf.credential_id.as_deref())
        .maybe("uid", leaf.agent_instance_id.as_deref());
    let role = |grant: &Grant<'_>| vec![Value::from(Object::default().with("name", grant.role.as_ref()))];
    let tools = |grant: &Grant<'_>| grant.tools.iter().map(AsRef::as_ref).collect::<Vec<&str>>().into();
    let grant = leaf.grant.as_ref();
    let expiry = grant.map(|grant| grant.expire_time.micros() / 1000);
    let tools: Option<Value> = grant.filter(|grant| !grant.tools.is_empty()).map(tools);
    object
        .maybe("iam_roles", grant.map(role))
        .maybe("privileges", tools)
        .with("session", session.maybe("expiration_time", expiry))
        .with("user", Object::default().with("uid", leaf.sponsor_id.as_deref().unwrap_or(UNKNOWN)))
}

/// The object that the event is about.
fn entity(source: &Source<'_>) -> Object {
    use Kind as K;
    let leaf = source.leaf;
    let named = |kind: &str, uid: Option<&str>| {
        let object = Object::default().with("type", kind).with("type_id", OTHER);
        match uid {
            Some(uid) => object.with("uid", uid),
            // A subject that is everything of its type (`all`).
            None => object.with("name", kind),
        }
    };
    match leaf.kind {
        K::InstanceEnded | K::InstanceRevoked | K::InstanceOrphaned | K::InstanceAccepted => {
            named("instance", leaf.agent_instance_id.as_deref())
        }
        K::PolicyCreated | K::PolicyActivated => {
            let uid = leaf.policy_version.as_deref().unwrap_or(UNKNOWN);
            let policy = Object::default().with("uid", uid);
            Object::default().with("policy", policy).with("type", "Policy").with("type_id", 5).with("uid", uid)
        }
        K::RolloutStarted
        | K::RolloutAdvanced
        | K::RolloutPaused
        | K::RolloutResumed
        | K::RolloutCompleted
        | K::RolloutRolledBack => named("rollout", leaf.rollout.as_ref().map(|rollout| rollout.id.as_ref())),
        K::ApprovalRequested | K::ApprovalApproved | K::ApprovalRejected | K::ApprovalExpired => {
            named("approval", leaf.approval_id.as_deref())
        }
        K::RevocationFloorMoved => named("revocation_list", Some(source.origin)),
        K::Archive | K::Manifest | K::CheckpointOverridden => named("custody_log", Some(source.origin)),
        _ => match &leaf.subject {
            Some(subject) => named(&subject.kind, subject.id.as_deref()),
            None => named(UNKNOWN, None),
        },
    }
}
