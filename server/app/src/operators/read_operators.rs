//! ListOperators and ListApiKeys.

use countersign_core::{
    api_key::ApiKey,
    names::OperatorId,
    operator::{Operator, OperatorRole},
};
use countersign_store::{api_key, operator};

use crate::{App, Error, Page, PageRequest};

/// Which keys to list.
#[derive(Debug, Clone, Default)]
pub struct ApiKeyFilter {
    /// Of this operator; `None` for all.
    pub operator_id: Option<OperatorId>,
    /// Whether expired and revoked keys are listed too.
    pub dead: bool,
}

impl App {
    /// One page of operators, in the order of their ids; with `role`, those who have it; with `deleted`, also the
    /// deleted ones.
    pub async fn list_operators(
        &self,
        role: Option<OperatorRole>,
        deleted: bool,
        page: PageRequest,
    ) -> Result<Page<Operator>, Error> {
        Ok(operator::list(&mut *self.inner.engine.store.for_reads().connection().await?, role, deleted, &page).await?)
    }

    /// One page of keys, oldest first.
    pub async fn list_api_keys(&self, filter: ApiKeyFilter, page: PageRequest) -> Result<Page<ApiKey>, Error> {
        let (now, mut conn) = (self.inner.engine.clock.now(), self.inner.engine.store.for_reads().connection().await?);
        Ok(api_key::list(&mut conn, filter.operator_id.as_ref(), filter.dead, now, &page).await?)
    }
}
