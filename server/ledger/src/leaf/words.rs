//! The closed vocabularies of a leaf: kinds of event, states of the sponsor, types of attributes, and the format
//! (`schema`). Those that a decision also has are in the domain crate.

use countersign_core::words;

words!(
    /// What happened.
    Kind {
        /// A sponsor was registered and waits for approval.
        SponsorRegistered = "sponsor_registered",
        /// A second person approved exactly the terms that the leaf states.
        SponsorApproved = "sponsor_approved",
        /// A second person rejected a sponsor.
        SponsorRejected = "sponsor_rejected",
        /// A sponsor was stopped temporarily, by a person or because the review lapsed.
        SponsorSuspended = "sponsor_suspended",
        /// A suspension was undone.
        SponsorReinstated = "sponsor_reinstated",
        /// A sponsor's review was renewed.
        SponsorRecertified = "sponsor_recertified",
        /// A sponsor's terms were changed; the sponsor waits for approval again.
        SponsorChanged = "sponsor_changed",
        /// A sponsor left the organisation.
        SponsorDeparted = "sponsor_departed",
        /// A sponsor was stopped permanently.
        SponsorRevoked = "sponsor_revoked",
        /// An instance said that it is finished.
        InstanceEnded = "instance_ended",
        /// An instance was stopped, by a person or with its sponsor.
        InstanceRevoked = "instance_revoked",
        /// An instance's sponsor departed.
        InstanceOrphaned = "instance_orphaned",
        /// Another sponsor took an orphaned instance over.
        InstanceAccepted = "instance_accepted",
        /// A root instance got a credential; the first one is its start.
        CredentialIssued = "credential_issued",
        /// A child instance got a credential from its parent; the first one is its start.
        Delegated = "delegated",
        /// An instance got a document that proves its SPIFFE ID, based on its live credential.
        SvidIssued = "svid_issued",
        /// A policy document was stored.
        PolicyCreated = "policy_created",
        /// A policy version is active from now on.
        PolicyActivated = "policy_activated",
        /// A rollout began.
        RolloutStarted = "rollout_started",
        /// A rollout got a larger percentage.
        RolloutAdvanced = "rollout_advanced",
        /// A rollout was paused.
        RolloutPaused = "rollout_paused",
        /// A paused rollout continues.
        RolloutResumed = "rollout_resumed",
        /// A rollout reached all callers.
        RolloutCompleted = "rollout_completed",
        /// A rollout was undone, by a person or by a gate.
        RolloutRolledBack = "rollout_rolled_back",
        /// An instance asked whether it may call a tool, and was answered.
        Decision = "decision",
        /// How an allowed call ended.
        ToolCall = "tool_call",
        /// A person was asked for an approval.
        ApprovalRequested = "approval_requested",
        /// A person approved.
        ApprovalApproved = "approval_approved",
        /// A person rejected.
        ApprovalRejected = "approval_rejected",
        /// No one answered in time.
        ApprovalExpired = "approval_expired",
        /// An entry was added to the revocation list.
        Revocation = "revocation",
        /// Older entries of the revocation list may be forgotten: what was issued before them counts as expired.
        RevocationFloorMoved = "revocation_floor_moved",
        /// A signing key was created and published.
        KeyCreated = "key_created",
        /// A signing key began to sign.
        KeyActivated = "key_activated",
        /// A signing key stopped signing.
        KeyRetired = "key_retired",
        /// A signing key was declared compromised.
        KeyCompromised = "key_compromised",
        /// Everything that is encrypted was encrypted again with a new key-encryption key.
        KeysRewrapped = "keys_rewrapped",
        /// An operator was created.
        OperatorCreated = "operator_created",
        /// An operator got an API key.
        OperatorKeyCreated = "operator_key_created",
        /// An operator's API key was revoked.
        OperatorKeyRevoked = "operator_key_revoked",
        /// An operator, or the binding of a login, was changed: the changes say how.
        OperatorChanged = "operator_changed",
        /// A kill switch was engaged.
        KillSwitchEngaged = "kill_switch_engaged",
        /// A kill switch was released.
        KillSwitchReleased = "kill_switch_released",
        /// A cache extension was proposed, confirmed or ended.
        CacheExtensionChanged = "cache_extension_changed",
        /// Free texts and personal data were erased.
        Erasure = "erasure",
        /// A range of the log was archived.
        Archive = "archive",
        /// Retention was stopped for a subject.
        LegalHoldPlaced = "legal_hold_placed",
        /// Retention continues for a subject.
        LegalHoldReleased = "legal_hold_released",
        /// The hourly summary of the log's contents.
        Manifest = "manifest",
        /// The server was started behind its last published checkpoint, on an explicit order.
        CheckpointOverridden = "checkpoint_overridden",
        /// A call that could not be attributed to a live credential.
        Unattributed = "unattributed",
        /// Calls with invalid credentials came too often to be answered one by one; the event has their number.
        RefusalsUnanswered = "refusals_unanswered",
        /// A caller tried to change something without the right to do so; the event has the number of attempts.
        AdministrationRefused = "administration_refused",
    }
);

words!(
    /// The state of the sponsor when the event happened.
    SponsorState {
        /// Accountable for the instance.
        Live = "live",
        /// No sponsor is named.
        Missing = "missing",
        /// No longer accountable: suspended, departed or revoked.
        Revoked = "revoked",
        /// Could not be determined.
        Unknown = "unknown",
    }
);

words!(
    /// How the value of a recorded attribute is read.
    AttributeType {
        /// `true` or `false`.
        Boolean = "boolean",
        /// Decimal digits, with a minus sign if negative; 64 bits.
        Integer = "integer",
        /// One of the words that the policy document lists.
        Word = "word",
    }
);

words!(
    /// The format of the leaf. In a format, fields are never added, removed or given another meaning.
    Schema {
        /// The first format.
        V1 = "countersign.custody.v1",
    }
);
