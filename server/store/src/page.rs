//! Pages by key (pagination): a page begins where the previous one ended, whatever was inserted meanwhile.

use std::{fmt::Display, str::FromStr};

use crate::StoreError;

/// Which page to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Largest number of items, at least 1.
    pub size: u32,
    /// The key of the last item of the previous page. `None` for the first page.
    pub after: Option<String>,
}

impl PageRequest {
    /// The parsed key of the last item of the previous page. `None` for the first page.
    pub(crate) fn after<K: FromStr>(&self) -> Result<Option<K>, StoreError> {
        self.after.as_deref().map(|after| after.parse().map_err(|_| StoreError::Cursor)).transpose()
    }

    /// One more than the page holds, to see whether another page follows.
    pub(crate) fn limit(&self) -> i64 {
        i64::from(self.size) + 1
    }
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// The key with which to request the next page. `None` on the last page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Cuts the rows that were read with [`PageRequest::limit`] to the page.
    pub(crate) fn cut<K: Display>(mut items: Vec<T>, request: &PageRequest, key: impl Fn(&T) -> K) -> Self {
        let size = usize::try_from(request.size).unwrap_or(usize::MAX);
        let more = items.len() > size;
        items.truncate(size);
        let next = items.last().filter(|_| more).map(|last| key(last).to_string());
        Self { items, next }
    }

    /// The same page with other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}
