//! Reads lists page by page, up to the limit of rows. A note says if there are more.

use super::{RemoteError, output::note};

/// Rows per page, the server's maximum.
const PAGE: usize = 1000;

/// A page of a list.
pub(super) struct Page<T> {
    pub(super) rows: Vec<T>,
    /// The token of the page after it; empty: there is none.
    pub(super) next_page_token: String,
}

/// Reads pages until there are no more, or `limit` rows. If there are more, a note says so on standard error.
///
/// `page` reads one page with a maximum number of rows and a token, and returns the rows and the next token.
pub(super) async fn pages<T>(
    limit: u32,
    mut page: impl AsyncFnMut(i32, String) -> Result<Page<T>, RemoteError>,
) -> Result<Vec<T>, RemoteError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut rows, mut token) = (Vec::new(), String::new());
    loop {
        let room = i32::try_from(PAGE.min(limit - rows.len())).unwrap_or(i32::MAX);
        let Page { rows: more, next_page_token: next } = page(room, token).await?;
        // A page that makes no progress would repeat for ever.
        let further = !next.is_empty() && !more.is_empty();
        rows.extend(more);
        if further && rows.len() >= limit {
            note(&format!("Only the first {} are shown: filter the list, or raise --limit.", rows.len()));
        }
        if !further || rows.len() >= limit {
            return Ok(rows);
        }
        token = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(all: usize, limit: u32) -> (usize, usize) {
        let mut calls = 0;
        let rows = pages(limit, async |room: i32, token: String| {
            calls += 1;
            let from: usize = token.parse().unwrap_or_default();
            let to = all.min(from + usize::try_from(room).unwrap());
            let next_page_token = if to < all { to.to_string() } else { String::new() };
            Ok(Page { rows: (from..to).collect(), next_page_token })
        });
        let rows = rows.await.unwrap();
        assert_eq!(rows, (0..rows.len()).collect::<Vec<_>>());
        (rows.len(), calls)
    }

    #[tokio::test]
    async fn pages_are_followed_to_the_end_or_the_limit() {
        for (all, limit, rows, calls) in [
            (0, 10, 0, 1),
            (1, 10, 1, 1),
            (2500, 10_000, 2500, 3),
            (2500, 1500, 1500, 2),
            (2500, 1, 1, 1),
            (7, 7, 7, 1),
        ] {
            assert_eq!(read(all, limit).await, (rows, calls), "{all} of at most {limit}");
        }
    }

    #[tokio::test]
    async fn a_page_that_leads_nowhere_is_the_last() {
        let page = || Page { rows: Vec::<u8>::new(), next_page_token: "again".to_owned() };
        let rows = pages(10, async |_, _| Ok(page())).await.unwrap();
        assert!(rows.is_empty());
    }
}
