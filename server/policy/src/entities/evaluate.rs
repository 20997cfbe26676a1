//! Answers a question about entities. The default is deny; the order is: an unknown type, attributes that do not fit or
//! a policy that fails, forbid, permit. A permit that requires approval denies, because no person can be asked.

use cedar_policy::Context as CedarContext;
use countersign_core::decision::{Effect, Reason};

use super::{EntityRequest, EntityTypes, uid};
use crate::{
    cedar::entity::Kind,
    compiled::CompiledPolicy,
    context::fit::unfit,
    evaluate::{Verdict, ask, with},
    evaluation::Evaluation,
    schema::ContextAttribute,
};

impl CompiledPolicy {
    /// Answers a question about entities of declared types. The default is deny. In this order:
    ///
    /// 1. a type that the document does not declare: DENY, `TYPE_UNKNOWN`;
    /// 2. an entity or a context that does not match the declarations, or a covering policy that fails to evaluate:
    ///    DENY, `POLICY_ERROR`;
    /// 3. a forbid: DENY, `DENIED_BY_RULE`;
    /// 4. a permit: ALLOW;
    /// 5. none of these: DENY, `NO_MATCHING_RULE`.
    ///
    /// Rules about runs never answer here, and policies about declared types never answer for a run.
    #[must_use]
    pub fn evaluate_entities(&self, request: &EntityRequest<'_>) -> Evaluation {
        let EntityRequest { subject, resource, .. } = request;
        let known = |types: &&EntityTypes| [subject, resource].iter().all(|one| types.attributes(&one.kind).is_some());
        let Some(types) = self.types.as_ref().filter(known) else {
            return Evaluation::deny(Reason::TypeUnknown);
        };
        let fits = |declared: &[ContextAttribute]| unfit(declared, &resource.kind, request.context).is_empty();
        let Some(entities) = types.entities(subject, resource).filter(|_| self.context().is_none_or(fits)) else {
            return Evaluation::deny(Reason::PolicyError);
        };
        let asked = self.cedar_request(request);
        let covering = self.entity_index.matching(&resource.kind, request.action, &subject.kind);
        let matches = self.sorted(covering, request.context, |policy, reaches| {
            let Some(asked) = &asked else { return Verdict::Failed };
            match reaches {
                None => ask(asked, policy, &entities),
                Some(reaches) => with(reaches, &entities).map_or(Verdict::Failed, |all| ask(asked, policy, &all)),
            }
        });
        let (effect, reason, rules) = matches.answer();
        let rule_ids = self.rule_ids(rules);
        // There is no sponsor who could be asked for an approval, so REQUIRE_APPROVAL becomes a denial.
        let effect = if effect == Effect::Allow { effect } else { Effect::Deny };
        Evaluation { effect, reason, rule_ids, cacheable: false }
    }

    fn cedar_request(&self, request: &EntityRequest<'_>) -> Option<cedar_policy::Request> {
        let EntityRequest { subject, action, resource, context } = request;
        let attributes = context.to_cedar(self.context(), &resource.kind);
        let context = CedarContext::from_pairs(attributes).ok()?;
        let (subject, resource) = (uid(&subject.kind, &subject.id)?, uid(&resource.kind, &resource.id)?);
        cedar_policy::Request::new(subject, Kind::Action.uid(action), resource, context, None).ok()
    }
}
