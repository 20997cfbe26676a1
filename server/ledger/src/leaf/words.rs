//! The closed vocabularies of a leaf. Those that a decision has too are the domain's.

use countersign_core::words;

words!(
    /// What happened.
    Kind {
        /// A sponsor was registered and waits for approval.
        SponsorRegistered = "sponsor_registered",
        /// A second person approved exactly the terms that the leaf states.
        SponsorApproved = "sponsor_approved",
        /// A second person turned a sponsor down.
        SponsorRejected = "sponsor_rejected",
        /// A sponsor was stopped for now, by a person or because the review lapsed.
        SponsorSuspended = "sponsor_suspended",
        /// A suspension was undone.
        SponsorReinstated = "sponsor_reinstated",
        /// A sponsor's review was renewed.
        SponsorRecertified = "sponsor_recertified",
        /// A sponsor's terms were changed; the sponsor waits for approval again.
        SponsorChanged = "sponsor_changed",
        /// A sponsor left the organisation.
        SponsorDeparted = "sponsor_departed",
        /// A sponsor was stopped for good.
        SponsorRevoked = "sponsor_revoked",
        /// An instance said that it is finished.
        InstanceEnded = "instance_ended",
        /// An instance was stopped, by a person or with its sponsor.
        InstanceRevoked = "instance_revoked",
        /// An instance's sponsor departed.
        InstanceOrphaned = "instance_orphaned",
        /// Another sponsor took an orphaned instance over.
        InstanceAccepted = "instance_accepted",
        /// A root instance got a credential; its first one is its start.
        CredentialIssued = "credential_issued",
        /// A child instance got a credential from its parent; its first one is its start.
        Delegated = "delegated",
        /// An instance got a document that proves its SPIFFE ID, on its live credential.
        SvidIssued = "svid_issued",
        /// A policy document was stored.
        PolicyCreated = "policy_created",
        /// A policy version answers from now on where no rollout does.
        PolicyActivated = "policy_activated",
        /// A rollout began.
        RolloutStarted = "rollout_started",
        /// A rollout grew.
        RolloutAdvanced = "rollout_advanced",
        /// A rollout is held where it is.
        RolloutPaused = "rollout_paused",
        /// A held rollout goes on.
        RolloutResumed = "rollout_resumed",
        /// A rollout reached everyone.
        RolloutCompleted = "rollout_completed",
        /// A rollout was undone, by a person or by a gate.
        RolloutRolledBack = "rollout_rolled_back",
        /// An instance asked whether it may call a tool, and was answered.
        Decision = "decision",
        /// How an allowed call ended.
        ToolCall = "tool_call",
        /// A person was asked to say yes.
        ApprovalRequested = "approval_requested",
        /// A person said yes.
        ApprovalApproved = "approval_approved",
        /// A person said no.
        ApprovalRejected = "approval_rejected",
        /// Nobody answered in time.
        ApprovalExpired = "approval_expired",
        /// An entry was added to the revocation list.
        Revocation = "revocation",
        /// Older entries of the revocation list may be forgotten: what was issued before them counts as expired.
        RevocationFloorMoved = "revocation_floor_moved",
        /// A signing key was made and published.
        KeyCreated = "key_created",
        /// A signing key began to sign.
        KeyActivated = "key_activated",
        /// A signing key stopped signing.
        KeyRetired = "key_retired",
        /// A signing key was declared compromised.
        KeyCompromised = "key_compromised",
        /// Everything that is encrypted was encrypted again, under a new key-encryption key.
        KeysRewrapped = "keys_rewrapped",
        /// An operator was created.
        OperatorCreated = "operator_created",
        /// An operator got an API key.
        OperatorKeyCreated = "operator_key_created",
        /// An operator's API key was revoked.
        OperatorKeyRevoked = "operator_key_revoked",
        /// An operator was changed, or whose login it is: what, the changes say.
        OperatorChanged = "operator_changed",
        /// Calls were stopped across the board.
        KillSwitchEngaged = "kill_switch_engaged",
        /// A stop was lifted.
        KillSwitchReleased = "kill_switch_released",
        /// How long an ALLOW may be cached was to be extended for a while, was, or was no more.
        CacheExtensionChanged = "cache_extension_changed",
        /// Free texts and personal data were erased.
        Erasure = "erasure",
        /// A range of the log was archived.
        Archive = "archive",
        /// Retention was stopped for a subject.
        LegalHoldPlaced = "legal_hold_placed",
        /// Retention goes on for a subject.
        LegalHoldReleased = "legal_hold_released",
        /// The hourly account of what the log holds.
        Manifest = "manifest",
        /// The server was started behind its last published checkpoint, on an explicit order.
        CheckpointOverridden = "checkpoint_overridden",
        /// A call that could not be attributed to a live credential.
        Unattributed = "unattributed",
        /// Calls on dead credentials that were refused too often to be answered one by one, in number.
        RefusalsUnanswered = "refusals_unanswered",
        /// A caller tried to change what they may not, so often.
        AdministrationRefused = "administration_refused",
    }
);

words!(
    /// How the sponsor stood when the event happened.
    SponsorState {
        /// Answers for the instance.
        Live = "live",
        /// No sponsor is named.
        Missing = "missing",
        /// No longer answers: suspended, departed or revoked.
        Revoked = "revoked",
        /// Could not be told.
        Unknown = "unknown",
    }
);

words!(
    /// How the value of a recorded attribute is read.
    AttributeType {
        /// `true` or `false`.
        Boolean = "boolean",
        /// Decimal digits, with a minus sign where it is negative; 64 bits.
        Integer = "integer",
        /// One of the words that the policy document lists.
        Word = "word",
    }
);

words!(
    /// The format of the leaf. Fields are never added to a format, removed from it or given another meaning.
    Schema {
        /// The first format.
        V1 = "countersign.custody.v1",
    }
);
