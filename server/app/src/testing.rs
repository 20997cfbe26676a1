//! Credentials and snapshots for the tests of pure rules.

use std::{collections::BTreeMap, sync::Arc};

use countersign_core::{
    clock::{SystemEntropy, uuid_v7},
    credential::{Claims, Expect, Grant, KeySet, KeyStanding, SigningKey, sign_credential, verify_credential},
    ids::{CredentialId, DecisionId, InstanceId, PolicyVersion},
    revocation::{RevocationLog, Revocations},
    signing_key::SigningKeyRecord,
};
use countersign_policy::{CompiledPolicy, Context};
use time::{Duration, OffsetDateTime};

use crate::{
    authority::{
        compiled_policies::LoadedPolicy,
        key_ring::KeyRing,
        snapshot::{DecisionSource, Granting, Snapshot},
        x509_authority::Authorities,
    },
    credentials::credential::Credential,
    decisions::evaluation::request::{DecisionRequest, Subject},
};

/// The time in tests.
pub(crate) const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));

/// A credential for `tools`, for `purpose "triage"`, `rev` 5, that lives 300 s from [`NOW`].
pub(crate) fn credential(ancestors: &[InstanceId], tools: &[&str], single_use: bool) -> Arc<Credential> {
    let key = SigningKey::generate().unwrap();
    let id = || uuid_v7(NOW, &SystemEntropy);
    let claims = Claims::new(Grant {
        issuer: "test",
        audience: "countersign",
        credential_id: CredentialId(id()),
        ancestors,
        agent_instance_id: InstanceId(id()),
        sponsor_id: "alice".parse().unwrap(),
        agent: "support-assistant".parse().unwrap(),
        role: "support".parse().unwrap(),
        inherited_roles: Vec::new(),
        root_agent: None,
        tools: tools.iter().map(|tool| tool.parse().unwrap()).collect(),
        purpose: "triage".to_owned(),
        single_use,
        rev: 5,
        custody_ref: [7; 32],
        labels: BTreeMap::new(),
        on_behalf_of: None,
        ttl_seconds: 300,
        now: NOW,
    });
    let mut keys = KeySet::default();
    keys.insert(key.verifying_key().clone(), KeyStanding::Active);
    let expect = Expect { issuer: "test", audience: "countersign" };
    let token = sign_credential(&claims, &key).unwrap();
    Arc::new(Credential::presented(verify_credential(&token, &keys, &expect, NOW).unwrap()))
}

/// The question whether `subject` may call `action` on `tool`.
pub(crate) fn question(subject: Subject, tool: &str, action: &str) -> DecisionRequest {
    DecisionRequest {
        decision_id: DecisionId(uuid_v7(NOW, &SystemEntropy)),
        now: NOW,
        subject,
        operator_id: None,
        tool_id: tool.parse().unwrap(),
        action: action.parse().unwrap(),
        purpose: None,
        purpose_opening: None,
        request_hash: None,
        context: Context::default(),
        approval_id: None,
        arguments: None,
        refused: None,
        cached_from: None,
        without_sponsor: None,
        trace: None,
    }
}

/// A stored policy, compiled.
pub(crate) fn policy(version: i64, document: &str) -> Arc<LoadedPolicy> {
    let compiled = CompiledPolicy::load(document, "").unwrap();
    Arc::new(LoadedPolicy { version: PolicyVersion(version), compiled })
}

/// A snapshot at epoch 1 in which `active` answers and nothing is revoked.
pub(crate) fn snapshot(active: Option<DecisionSource>) -> Snapshot {
    let record = SigningKeyRecord {
        kid: "kid".to_owned(),
        state: KeyStanding::Active,
        public_jwk: "{}".to_owned(),
        create_time: NOW,
        activate_time: None,
        retire_time: None,
    };
    let keys = KeyRing {
        verifying: KeySet::default(),
        active: Arc::new(SigningKey::generate().unwrap()),
        next_record: record.clone(),
        active_record: record,
    };
    let granting = match &active {
        Some(DecisionSource::Policy(policy)) => Granting::Policy(policy.clone()),
        Some(_) => Granting::ServiceLimits,
        None => Granting::Nothing,
    };
    Snapshot {
        epoch: 1,
        active,
        granting,
        rollout: None,
        revocations: Revocations::default(),
        revocation_log: Arc::new(RevocationLog::new(100, 0, Vec::new())),
        disabled: std::collections::HashSet::new(),
        keys,
        authorities: Authorities::default(),
        kill_switches: Arc::default(),
        cache_extension: None,
        policy_status: Arc::default(),
        unusable: None,
    }
}
