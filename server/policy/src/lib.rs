//! Policy documents to Cedar: loading, indexing, evaluation, explanation. No I/O.
//!
//! [`CompiledPolicy::load`] reads one YAML document, and refuses it completely with all its [`Violation`]s, or compiles
//! it to Cedar policies behind an index by tool, action and role. [`CompiledPolicy::evaluate`] then answers a
//! [`Request`]:
//!
//! - the document's tools and the role's tools are checked first;
//! - the index returns only the rules that can match; if none of them has a condition, the index answers alone;
//! - otherwise Cedar evaluates these few, and the answer is the same that Cedar gives for the whole set;
//! - a rule that fails during evaluation makes the whole answer a denial. Cedar itself skips such a rule, which would
//!   turn a failing deny rule into an allowance.
//!
//! Everything here is a pure function of the document and the request: no clock, no I/O, no state. The language is
//! described in docs/policy-document.md.

mod cedar;
mod compiled;
mod context;
mod diff;
mod document;
mod entities;
mod evaluate;
mod evaluation;
mod explain;
mod index;
mod matches;
mod near_miss;
mod principal;
mod recorded;
mod recorded_context;
mod replay;
mod schema;
mod suite;
mod text;
mod value;
mod violation;

pub use compiled::{CompiledPolicy, Rule, content_hash};
pub use context::Context;
pub use diff::diff;
pub use document::{
    DEFAULT_RISK, MAX_CONDITION_BYTES, MAX_DOCUMENT_BYTES, MAX_RULES, Risk, RoleSpec, RolloutSpec, ToolSpec,
};
pub use entities::{Entity, EntityRequest};
pub use evaluation::{Evaluation, Request};
pub use near_miss::{ExplainedCall, Explanation, MAX_NEAR_MISSES, Mismatch, NearMiss};
pub use principal::{Principal, PrincipalSpec};
pub use recorded::{RecordedAttribute, RecordedValue};
pub use replay::{Replay, Stakes};
pub use schema::{ContextAttribute, ContextType, Scalar};
pub use suite::{PolicyTests, TestCase, TestResult};
pub use violation::{Violation, Violations};
