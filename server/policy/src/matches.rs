//! The rules that cover a call, and how they answered it.

use countersign_core::decision::{Effect, Reason};

/// What an answer stands on.
pub(crate) enum Basis {
    /// The document registers tools, and not this one.
    UnknownTool,
    /// The document lists roles, and not this one.
    UnknownRole,
    /// The role may use other tools only.
    ToolOutsideRole,
    /// The context is not what the document declares: what is wrong, a clause each.
    UnfitContext(Vec<String>),
    /// The rules that cover the call.
    Rules(Matches),
}

/// The rules whose scope covers a call, by how they answered it.
#[derive(Default)]
pub(crate) struct Matches {
    pub(crate) allowing: Vec<usize>,
    pub(crate) asking: Vec<usize>,
    pub(crate) denying: Vec<usize>,
    pub(crate) failed: Vec<usize>,
    /// Those of the failed that name what no rule can read.
    pub(crate) unreadable: Vec<usize>,
    /// Rules that would allow, but for their condition.
    pub(crate) unmet: Vec<usize>,
    /// Rules that would deny, but for their condition.
    pub(crate) unmet_denying: Vec<usize>,
    /// Whether any condition that was looked at reads the context: another context could then have another answer.
    pub(crate) context_matters: bool,
}

impl Matches {
    /// The answer, why, and the rules that make it.
    pub(crate) fn answer(&self) -> (Effect, Reason, &[usize]) {
        match self {
            Self { failed, .. } if !failed.is_empty() => (Effect::Deny, Reason::PolicyError, failed),
            Self { denying, .. } if !denying.is_empty() => (Effect::Deny, Reason::DeniedByRule, denying),
            Self { asking, .. } if !asking.is_empty() => (Effect::RequireApproval, Reason::ApprovalRequired, asking),
            Self { allowing, .. } if !allowing.is_empty() => (Effect::Allow, Reason::AllowedByRule, allowing),
            Self { allowing, .. } => (Effect::Deny, Reason::NoMatchingRule, allowing),
        }
    }
}
