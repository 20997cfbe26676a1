//! Enums of the domain and of the contract, mapped by name.

use countersign_app::{InstanceFilterState, PolicyState};
use countersign_core::{
    approval::ApprovalState,
    cache_extension::CacheExtensionState,
    credential::KeyStanding,
    decision::{Effect, Enforcement, Outcome, Reason, Side},
    kill_switch::KillSwitchScope,
    revocation::RevocationKind,
    rollout::{Gate, OnBreach, RolloutState, StickyKey, Verdict},
    sponsor::{SponsorState, SuspendCause},
};
use countersign_ledger::leaf;
use countersign_proto::v1;

/// A domain enum that also exists in the contract.
pub(super) trait WireEnum: Copy {
    /// The contract's number for this value.
    fn to_wire(self) -> i32;

    /// The value of that number; `None` if it is unspecified or unknown.
    fn from_wire(number: i32) -> Option<Self>;
}

/// Pairs two enums by name. Both matches are exhaustive: a value that one side lacks does not compile.
macro_rules! wire_enums {
    ($($domain:ty = $wire:ident { $($word:ident)+ })+) => {$(
        impl WireEnum for $domain {
            fn to_wire(self) -> i32 {
                match self { $(Self::$word => v1::$wire::$word.into(),)+ }
            }

            fn from_wire(number: i32) -> Option<Self> {
                match v1::$wire::try_from(number).ok()? {
                    v1::$wire::Unspecified => None,
                    $(v1::$wire::$word => Some(Self::$word),)+
                }
            }
        }
    )+};
}

wire_enums! {
    ApprovalState = ApprovalState { Pending Approved Rejected Expired Used }
    CacheExtensionState = CacheExtensionState { Pending Active Ended }
    Effect = Effect { Allow Deny RequireApproval }
    Enforcement = Enforcement { Enforced Shadow }
    Gate = RolloutGate { MissingSponsor PolicyError LatencyP95 IssuanceFailure }
    InstanceFilterState = InstanceState { Live Ended Revoked Orphaned Expired }
    KeyStanding = SigningKeyState { Next Active Retired Compromised }
    KillSwitchScope = KillSwitchScope { Tool Role Agent Sponsor All }
    OnBreach = OnBreach { Rollback Pause }
    Outcome = ToolCallOutcome { Success Failure NotExecuted Unknown }
    PolicyState = PolicyState { Stored Candidate Active }
    Reason = DecisionReason {
        AllowedByRule Observed CredentialMalformed CredentialInvalid CredentialWrongKind CredentialWrongAudience
        CredentialExpired CredentialRevoked CredentialAlreadyUsed SponsorNotActive InstanceNotLive ToolNotGranted
        PurposeWidened MethodUnknown TypeUnknown KillSwitch ToolUnknown DeniedByRule NoMatchingRule BaselineDeny PolicyError ApprovalRequired
        ApprovalRejected ApprovalExpired ApprovalMismatch
    }
    RevocationKind = RevocationKind { Sponsor Instance Credential Key Tool All }
    RolloutState = RolloutState { Running Paused Completed RolledBack }
    Side = RolloutSide { Baseline Candidate }
    SponsorState = SponsorState { Pending Active Suspended Rejected Revoked Departed }
    StickyKey = StickyKey { RootInstance Sponsor Agent }
    SuspendCause = SuspendCause { ReviewLapsed Operator }
    Verdict = GateVerdict { Pass Fail Inconclusive }
    leaf::Kind = EventKind {
        SponsorRegistered SponsorApproved SponsorRejected SponsorSuspended SponsorReinstated SponsorRecertified
        SponsorChanged SponsorDeparted SponsorRevoked InstanceEnded InstanceRevoked InstanceOrphaned InstanceAccepted
        CredentialIssued Delegated SvidIssued PolicyCreated PolicyActivated RolloutStarted RolloutAdvanced RolloutPaused
        RolloutResumed RolloutCompleted RolloutRolledBack Decision ToolCall ApprovalRequested ApprovalApproved
        ApprovalRejected ApprovalExpired Revocation KeyCreated KeyActivated KeyRetired KeyCompromised KeysRewrapped RevocationFloorMoved OperatorCreated
        OperatorKeyCreated OperatorKeyRevoked OperatorChanged CacheExtensionChanged KillSwitchEngaged KillSwitchReleased Erasure Archive LegalHoldPlaced
        LegalHoldReleased Manifest CheckpointOverridden Unattributed RefusalsUnanswered
        AdministrationRefused
    }
    leaf::SponsorState = SponsorStanding { Live Missing Revoked Unknown }
}

/// An optional value in the contract's form: unspecified if it is missing.
pub(super) fn wire<W: WireEnum>(word: Option<W>) -> i32 {
    word.map_or(0, WireEnum::to_wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that every value has the same name on the wire, and can be read back from it.
    macro_rules! same_names {
        ($($domain:ty = $wire:ident, $prefix:literal;)+) => {$(
            for word in <$domain>::ALL.iter().copied() {
                let number = word.to_wire();
                let wire = v1::$wire::try_from(number).unwrap();
                let name = format!("{}_{}", $prefix, word.as_str().to_ascii_uppercase());
                assert_eq!(wire.as_str_name(), name);
                assert_eq!(<$domain>::from_wire(number), Some(word));
            }
            let beyond = i32::try_from(<$domain>::ALL.len()).unwrap() + 1;
            assert!(v1::$wire::try_from(beyond).is_err(), "{} has values of its own", stringify!($wire));
        )+};
    }

    #[test]
    fn every_word_has_the_same_name_on_the_wire_and_comes_back() {
        same_names! {
            ApprovalState = ApprovalState, "APPROVAL_STATE";
            Effect = Effect, "EFFECT";
            Enforcement = Enforcement, "ENFORCEMENT";
            Gate = RolloutGate, "ROLLOUT_GATE";
            KeyStanding = SigningKeyState, "SIGNING_KEY_STATE";
            KillSwitchScope = KillSwitchScope, "KILL_SWITCH_SCOPE";
            Outcome = ToolCallOutcome, "TOOL_CALL_OUTCOME";
            Reason = DecisionReason, "DECISION_REASON";
            RevocationKind = RevocationKind, "REVOCATION_KIND";
            RolloutState = RolloutState, "ROLLOUT_STATE";
            SponsorState = SponsorState, "SPONSOR_STATE";
            StickyKey = StickyKey, "STICKY_KEY";
            SuspendCause = SuspendCause, "SUSPEND_CAUSE";
            Verdict = GateVerdict, "GATE_VERDICT";
            leaf::Kind = EventKind, "EVENT_KIND";
            Side = RolloutSide, "ROLLOUT_SIDE";
            leaf::SponsorState = SponsorStanding, "SPONSOR_STANDING";
        }
    }

    #[test]
    fn what_is_unspecified_or_unknown_is_no_word() {
        for number in [i32::MIN, -1, 0, 1_000, i32::MAX] {
            assert_eq!(Reason::from_wire(number), None);
            assert_eq!(leaf::Kind::from_wire(number), None);
        }
    }
}
