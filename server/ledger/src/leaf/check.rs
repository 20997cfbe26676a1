//! Which form each field of a leaf must have, and that lists are sorted, without duplicates, and not too long.

use super::{
    Attribute, Change, Charge, Count, Emitter, Figure, Leaf, LeafError,
    shape::{
        APPROVAL, CREDENTIAL, DECISION, EVENT, INSTANCE, ROLLOUT, Shape, attribute, each, ensure, few, many, maybe,
        one, ordered,
    },
};

/// Checks the list `field`; an error message calls the names of its entries `name`.
fn figures([field, name]: [&'static str; 2], list: &[Figure<'_>]) -> Result<(), LeafError> {
    list.iter().try_for_each(|figure| one(name, &figure.name, Shape::Name))?;
    ordered(field, list, |figure| &figure.name)
}

impl Leaf<'_> {
    /// Checks the form of every field whose type does not already fix it.
    pub(super) fn check_shapes(&self) -> Result<(), LeafError> {
        one("event_id", &self.event_id, EVENT)?;
        for (field, value, shape) in [
            ("action", &self.action, Shape::Call),
            ("agent_instance_id", &self.agent_instance_id, INSTANCE),
            ("approval_id", &self.approval_id, APPROVAL),
            ("cached_from", &self.cached_from, DECISION),
            ("credential_id", &self.credential_id, CREDENTIAL),
            ("emitter_id", &self.emitter_id, Shape::Token),
            ("operator_id", &self.operator_id, Shape::Name),
            ("parent_agent_id", &self.parent_agent_id, INSTANCE),
            ("policy_decision_id", &self.policy_decision_id, DECISION),
            ("policy_version", &self.policy_version, Shape::Token),
            ("reason", &self.reason, Shape::Code),
            ("replays", &self.replays, DECISION),
            ("root_instance_id", &self.root_instance_id, INSTANCE),
            ("sponsor_id", &self.sponsor_id, Shape::Name),
            ("state_after", &self.state_after, Shape::Code),
            ("state_before", &self.state_before, Shape::Code),
            ("tool_id", &self.tool_id, Shape::Call),
        ] {
            maybe(field, value.as_ref(), shape)?;
        }
        each("rule_ids", &self.rule_ids, Shape::Token)?;
        ensure(self.trace_id.is_some() == self.span_id.is_some(), "trace_id", "stated together with span_id")?;
        self.check_lists()?;
        self.check_facts()?;
        self.check_details()
    }

    fn check_lists(&self) -> Result<(), LeafError> {
        for Change { after, before, field } in &self.changes {
            one("changes.field", field, Shape::Name)?;
            maybe("changes.after", after.as_ref(), Shape::Value)?;
            maybe("changes.before", before.as_ref(), Shape::Value)?;
            ensure(after.is_some() || before.is_some(), "changes", "entries with a value before, after or both")?;
        }
        ordered("changes", &self.changes, |change| &change.field)?;
        figures(["figures", "figures.name"], &self.figures)?;
        for Count { count: _, kind: _, sponsor_id, tool_id } in &self.counts {
            maybe("counts.sponsor_id", sponsor_id.as_ref(), Shape::Name)?;
            maybe("counts.tool_id", tool_id.as_ref(), Shape::Call)?;
        }
        for Emitter { emitter_id, first_seq: _, last_seq: _, missing: _ } in &self.emitters {
            one("emitters.emitter_id", emitter_id, Shape::Token)?;
        }
        many("counts", &self.counts)?;
        many("emitters", &self.emitters)?;
        ordered("counts", &self.counts, |count| (count.kind.as_str(), &count.sponsor_id, &count.tool_id))?;
        ordered("emitters", &self.emitters, |emitter| &emitter.emitter_id)
    }

    fn check_facts(&self) -> Result<(), LeafError> {
        for Attribute { name, time: _, kind, value } in &self.context {
            one("context.name", name, Shape::Token)?;
            attribute(*kind, value)?;
        }
        for Charge { amount: _, key, limit: _, member, meter, used: _ } in &self.charges {
            one("charges.key", key, Shape::Token)?;
            one("charges.meter", meter, Shape::Token)?;
            maybe("charges.member", member.as_ref(), Shape::Token)?;
        }
        few("charges", &self.charges)?;
        few("context", &self.context)?;
        few("grounds", &self.grounds)?;
        ordered("charges", &self.charges, |charge| (&charge.meter, &charge.key))?;
        ordered("context", &self.context, |attribute| &attribute.name)?;
        ordered("grounds", &self.grounds, |ground| ground)
    }

    fn check_details(&self) -> Result<(), LeafError> {
        if let Some(grant) = &self.grant {
            one("grant.agent", &grant.agent, Shape::Name)?;
            one("grant.role", &grant.role, Shape::Name)?;
            maybe("grant.agent_version", grant.agent_version.as_ref(), Shape::Token)?;
            maybe("grant.model", grant.model.as_ref(), Shape::Token)?;
            maybe("grant.platform", grant.platform.as_ref(), Shape::Token)?;
            figures(["grant.limits", "grant.limits.name"], &grant.limits)?;
            maybe("grant.key_id", grant.key_id.as_ref(), Shape::Token)?;
            each("grant.tools", &grant.tools, Shape::Call)?;
        }
        if let Some(rollout) = &self.rollout {
            one("rollout.id", &rollout.id, ROLLOUT)?;
            ensure(rollout.bucket.is_none_or(|bucket| bucket < 10_000), "rollout.bucket", "0 to 9999")?;
            ensure(rollout.percent <= 100, "rollout.percent", "0 to 100")?;
            ensure(rollout.percent_before.is_none_or(|percent| percent <= 100), "rollout.percent_before", "0 to 100")?;
        }
        if let Some(shadow) = &self.shadow {
            one("shadow.reason", &shadow.reason, Shape::Code)?;
            maybe("shadow.policy_version", shadow.policy_version.as_ref(), Shape::Token)?;
            each("shadow.rule_ids", &shadow.rule_ids, Shape::Token)?;
        }
        if let Some(subject) = &self.subject {
            one("subject.type", &subject.kind, Shape::Call)?;
            maybe("subject.id", subject.id.as_ref(), Shape::Token)?;
        }
        if let Some(terms) = &self.terms {
            each("terms.roles", &terms.roles, Shape::Name)?;
            figures(["terms.limits", "terms.limits.name"], &terms.limits)?;
        }
        Ok(())
    }
}
