//! Policy documents to Cedar: loading, indexing, evaluation, explanation. No I/O.
//!
//! [`CompiledPolicy::load`] reads one YAML document, refuses it whole with every [`Violation`] it has, or compiles it to Cedar
//! policies behind an index by tool, role and action. [`CompiledPolicy::evaluate`] then answers a [`Request`]:
//!
//! - the document's tools and the role's tools are checked first;
//! - the index hands over only the rules that can match; where none of those has a condition, the index answers alone;
//! - otherwise Cedar evaluates these few, and the answer is the one Cedar gives over the whole set, by the same rules;
//! - a rule that fails while it is evaluated makes the whole answer a denial. Cedar itself skips such a rule, which would turn
//!   a failing deny rule into an allowance.
//!
//! Everything here is a pure function of the document and the request: no clock, no I/O, no state.

mod cedar;
mod compiled;
mod context;
mod document;
mod evaluate;
mod evaluation;
mod explain;
mod index;
mod names;
mod principal;
mod probe;
mod request;
mod violation;

pub use compiled::{CompiledPolicy, RoleLimits, Rule, RuleEffect, ToolSpec};
pub use document::{
    BaselineSpec, DEFAULT_RISK, MAX_DOCUMENT_BYTES, MAX_RULES, MAX_TTL_SECONDS, Risk, RolloutSpec, StickyKeySpec,
};
pub use evaluation::{Detail, Effect, EvalReason, Evaluation};
pub use names::{is_name, NAME_SHAPE};
pub use principal::PrincipalEntities;
pub use probe::ProbeFailed;
pub use request::Request;
pub use violation::{Violation, Violations};
