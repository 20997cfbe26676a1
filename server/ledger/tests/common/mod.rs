//! A leaf with every field filled, and the means to take any field out again.

use countersign_core::decision::{Effect, Enforcement, Outcome, Side};
use countersign_ledger::leaf::{
    Attribute, AttributeType, Change, Charge, Count, Decimal, Digest, Emitter, Figure, Grant, Kind, Leaf, Rollout,
    Schema, Shadow, SpanId, SponsorState, Subject, Terms, Timestamp, TraceId,
};

pub(crate) const UUID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn text<T: From<String>>(prefix: &str) -> T {
    format!("{prefix}{UUID}").into()
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_767_323_045_000_001 + seconds * 1_000_000).expect("in range")
}

fn charges() -> Vec<Charge<'static>> {
    vec![
        Charge {
            amount: Decimal(15_000),
            key: "q83vEjRWeJA".into(),
            limit: Some(Decimal(50_000)),
            member: Some("c-17".into()),
            meter: "refunds-per-sponsor-day#1f2e3d4c".into(),
            used: Some(Decimal(40_000)),
        },
        Charge { amount: Decimal(1), key: "a".into(), limit: None, member: None, meter: "wires".into(), used: None },
    ]
}

fn context() -> Vec<Attribute<'static>> {
    vec![
        Attribute {
            name: "amount_cents".into(),
            time: Some(time(-60)),
            kind: AttributeType::Integer,
            value: "-15000".into(),
        },
        Attribute::boolean("frozen", false),
        Attribute::word("http.risk", "5"),
    ]
}

fn grant() -> Grant<'static> {
    Grant {
        agent: "triage".into(),
        agent_version: Some("1.4.2+build.7".into()),
        depth: 1,
        expire_time: time(300),
        key_id: Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs".into()),
        limits: vec![Figure { name: "refund_cents".into(), value: Decimal(100) }],
        model: Some("claude-sonnet-4-5@20250929".into()),
        platform: Some("langgraph/0.9".into()),
        role: "support".into(),
        single_use: true,
        tools: vec!["billing".into(), "Search/v2:Docs".into()],
        ttl_seconds: 300,
    }
}

fn terms() -> Terms<'static> {
    Terms {
        limits: vec![Figure { name: "refund_cents".into(), value: Decimal(500) }],
        max_depth: 3,
        max_ttl_seconds: 900,
        review_due_time: Some(time(7_776_000)),
        roles: vec!["support".into(), "user".into()],
    }
}

/// Every field of every part, written out so that a new field does not compile until it is here.
pub(crate) fn full(kind: Kind) -> Leaf<'static> {
    Leaf {
        action: Some("refund".into()),
        agent_instance_id: Some(text("inst_")),
        approval_id: Some(text("appr_")),
        approval_ref: Some(Digest([1; 32])),
        attestation_hash: Some(Digest([12; 32])),
        authority_epoch: Some(Decimal(u64::MAX)),
        cached_from: Some(text("dec_")),
        changes: vec![
            Change { after: Some("pv_2".into()), before: Some("pv_1".into()), field: "candidate".into() },
            Change { after: Some("10,30,60,100".into()), before: None, field: "steps".into() },
        ],
        charges: charges(),
        content_hash: Some(Digest([2; 32])),
        context: context(),
        context_commitment: Some(Digest([3; 32])),
        counts: vec![
            Count { count: Decimal(3), kind: Kind::Archive, sponsor_id: None, tool_id: None },
            Count {
                count: Decimal(1),
                kind: Kind::Decision,
                sponsor_id: Some("alice@example.com".into()),
                tool_id: Some("Search/v2:Docs".into()),
            },
        ],
        credential_id: Some(text("cred_")),
        custody_ref: Some(Digest([4; 32])),
        decision_ref: Some(Digest([5; 32])),
        duration_us: Some(Decimal(1250)),
        effect: Some(Effect::Allow),
        emitter_id: Some("gateway-1".into()),
        emitter_seq: Some(Decimal(42)),
        emitters: vec![Emitter {
            emitter_id: "gateway-1".into(),
            first_seq: Decimal(40),
            last_seq: Decimal(42),
            missing: Decimal(1),
        }],
        enforcement: Some(Enforcement::Enforced),
        event_id: text("evt_"),
        figures: vec![
            Figure { name: "decision".into(), value: Decimal(1043) },
            Figure { name: "missing_sponsor".into(), value: Decimal(0) },
        ],
        grant: Some(grant()),
        grounds: vec![Digest([13; 32]), Digest([14; 32])],
        identity_commitment: Some(Digest([6; 32])),
        kind,
        on_behalf_of_commitment: Some(Digest([15; 32])),
        operator_id: Some("olga".into()),
        outcome: Some(Outcome::Success),
        parent_agent_id: Some(text("inst_")),
        policy_decision_id: Some(text("dec_")),
        policy_hash: Some(Digest([7; 32])),
        policy_version: Some("pv_2".into()),
        purpose_commitment: Some(Digest([8; 32])),
        reason: Some("ALLOWED_BY_RULE".into()),
        reason_commitment: Some(Digest([9; 32])),
        received_time: time(1),
        replays: Some(text("dec_")),
        request_hash: Some(Digest([10; 32])),
        response_hash: Some(Digest([11; 32])),
        revocation_seq: Some(Decimal(7)),
        rollout: Some(Rollout {
            bucket: Some(417),
            id: text("roll_"),
            percent: 30,
            percent_before: Some(10),
            side: Some(Side::Candidate),
        }),
        root_instance_id: Some(text("inst_")),
        rule_ids: vec!["allow-support-billing".into(), "Org::Rules/7".into()],
        schema: Schema::V1,
        shadow: Some(Shadow {
            effect: Effect::Deny,
            policy_version: Some("pv_1".into()),
            reason: "NO_MATCHING_RULE".into(),
            rule_ids: vec!["no-refunds".into()],
        }),
        span_id: SpanId::from_bytes([16; 8]),
        sponsor_id: Some("alice@example.com".into()),
        sponsor_state: Some(SponsorState::Live),
        state_after: Some("ACTIVE".into()),
        state_before: Some("PENDING".into()),
        subject: Some(Subject { id: Some("billing".into()), kind: "tool".into() }),
        terms: Some(terms()),
        timestamp: time(0),
        tool_id: Some("billing".into()),
        trace_id: TraceId::from_bytes([17; 16]),
    }
}

macro_rules! optional_fields {
    ($($field:ident)*) => {
        /// Every field that a leaf can be without.
        pub(crate) const OPTIONAL: &[&str] = &[$(stringify!($field)),*];

        /// Takes a field out.
        pub(crate) fn clear(leaf: &mut Leaf<'_>, field: &str) {
            // No `..`: a field that is missing from the list does not compile.
            let Leaf { event_id: _, kind: _, received_time: _, schema: _, timestamp: _, $($field: _),* } = &*leaf;
            match field {
                $(stringify!($field) => leaf.$field = Default::default(),)*
                _ => panic!("{field} is no optional field"),
            }
        }
    };
}

optional_fields! {
    action agent_instance_id approval_id approval_ref attestation_hash authority_epoch cached_from changes charges
    content_hash context context_commitment counts credential_id custody_ref decision_ref duration_us effect emitter_id
    emitter_seq emitters enforcement figures grant grounds identity_commitment on_behalf_of_commitment operator_id outcome
    parent_agent_id policy_decision_id policy_hash policy_version purpose_commitment reason reason_commitment replays
    request_hash response_hash revocation_seq rollout root_instance_id rule_ids shadow span_id sponsor_id sponsor_state
    state_after state_before subject terms tool_id trace_id
}
