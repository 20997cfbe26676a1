//! A database a test, and lists read page by page.

use std::fmt::Debug;

use countersign_core::clock::{SystemEntropy, uuid_v7};
use countersign_store::{Options, Page, PageRequest, Statements, Store, StoreError};
use countersign_testing::{Cluster, Database};
use sqlx::types::Uuid;
use time::{Duration, OffsetDateTime};

/// The time in these tests.
pub(crate) const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));
/// The smallest step of a stored time.
pub(crate) const TICK: Duration = Duration::MICROSECOND;

/// A store on a database of its own.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) database: Database,
}

impl World {
    pub(crate) async fn start() -> Self {
        let database = Cluster::shared().await.unwrap().database().await.unwrap();
        let options = Options { max_connections: 4, ..Options::new(database.url.parse().unwrap()) };
        Self { store: Store::new(&options), database }
    }

    /// A connection on which each statement takes effect by itself.
    pub(crate) async fn conn(&self) -> Statements {
        self.store.writing().await.unwrap()
    }

    /// Runs a statement as the database's owner.
    pub(crate) async fn sql(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&mut self.database.connect().await.unwrap()).await.unwrap();
    }
}

/// A new id of this many milliseconds after [`NOW`].
pub(crate) fn id(milliseconds: i64) -> Uuid {
    uuid_v7(NOW + Duration::milliseconds(milliseconds), &SystemEntropy)
}

pub(crate) fn page(size: u32, after: Option<String>) -> PageRequest {
    PageRequest { size, after }
}

/// Reads a list in pages of every size up to one that is larger than all of it: each must give `expected`, in this
/// order, with a next page exactly where there is more.
pub(crate) async fn is_listed<K: PartialEq + Debug>(
    expected: &[K],
    list: impl AsyncFn(PageRequest) -> Result<Page<K>, StoreError>,
) {
    let all = u32::try_from(expected.len()).unwrap();
    for size in 1..=all + 1 {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let Page { items, next } = list(page(size, after)).await.unwrap();
            assert!(u32::try_from(items.len()).unwrap() <= size);
            found.extend(items);
            after = next;
            if after.is_none() {
                break;
            }
            assert!(found.len() < expected.len(), "size {size}: a page after the last one");
        }
        assert_eq!(found, expected, "in pages of {size}");
    }
}

/// The constraint that refused.
#[track_caller]
pub(crate) fn exists<T: Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Exists { constraint }) => constraint,
        other => panic!("was to exist already: {other:?}"),
    }
}
