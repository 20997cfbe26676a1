//! ListEvents: the events in log order.

use countersign_core::{
    decision::Effect,
    ids::{DecisionId, InstanceId},
    names::{SponsorId, ToolId},
};
use countersign_ledger::leaf::Kind;
use countersign_store::event;
use time::OffsetDateTime;

use crate::{App, Error, EventRecord, Page, PageRequest};

/// Which events to list. A field that is `None` does not restrict the list.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// From this index on.
    pub start_index: Option<i64>,
    /// This kind.
    pub kind: Option<Kind>,
    /// This sponsor's.
    pub sponsor_id: Option<SponsorId>,
    /// Of this chain.
    pub root_instance_id: Option<InstanceId>,
    /// Of this instance.
    pub agent_instance_id: Option<InstanceId>,
    /// On this tool.
    pub tool_id: Option<ToolId>,
    /// With this answer.
    pub effect: Option<Effect>,
    /// This decision and its outcome.
    pub policy_decision_id: Option<DecisionId>,
    /// At or after this instant.
    pub start_time: Option<OffsetDateTime>,
    /// Before this instant.
    pub end_time: Option<OffsetDateTime>,
}

impl App {
    /// One page of events, in log order.
    pub async fn list_events(&self, filter: EventFilter, page: PageRequest) -> Result<Page<EventRecord>, Error> {
        let filter = event::EventFilter {
            start_index: filter.start_index,
            kind: filter.kind.map(Kind::as_str),
            sponsor_id: filter.sponsor_id.map(Into::into),
            root_instance_id: filter.root_instance_id,
            agent_instance_id: filter.agent_instance_id,
            tool_id: filter.tool_id.map(Into::into),
            effect: filter.effect.map(Effect::as_str),
            policy_decision_id: filter.policy_decision_id,
            start_time: filter.start_time,
            end_time: filter.end_time,
        };
        let _turn = if filter.may_scan() { Some(self.inner.authn.reads.scan().await?) } else { None };
        let Page { items, next } =
            event::list(&mut *self.inner.engine.store.for_reads().connection().await?, &filter, &page).await?;
        let items = items.into_iter().map(EventRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }
}
