//! The rules that cover a call, by their results, and which result decides the answer and which rules it names
//! (`rule_ids`): failed, then deny, then
//! approval, then allow, then none.

use countersign_core::decision::{Effect, Reason};

/// What an answer is based on.
pub(crate) enum Basis {
    /// The document registers tools, but not this one.
    UnknownTool,
    /// The document lists roles, but not this one.
    UnknownRole,
    /// The role may use other tools only.
    ToolOutsideRole,
    /// The context does not match the document's declarations: what is wrong, one clause each.
    UnfitContext(Vec<String>),
    /// The rules that cover the call.
    Rules(Matches),
}

/// The rules whose scope covers a call, by their results.
#[derive(Default)]
pub(crate) struct Matches {
    pub(crate) allowing: Vec<usize>,
    pub(crate) asking: Vec<usize>,
    pub(crate) denying: Vec<usize>,
    pub(crate) failed: Vec<usize>,
    /// The failed rules that name an unreadable value.
    pub(crate) unreadable: Vec<usize>,
    /// Rules that would allow if their condition were true.
    pub(crate) unmet: Vec<usize>,
    /// Rules that would deny if their condition were true.
    pub(crate) unmet_denying: Vec<usize>,
    /// Whether any evaluated condition reads the context, so that another context could have another answer.
    pub(crate) context_matters: bool,
}

impl Matches {
    /// The answer, the reason, and the rules that determine it.
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
