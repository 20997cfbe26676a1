//! Where the candidate and the baseline of a rollout have disagreed since its start, by rule; only so many rules are
//! counted apart.

use std::collections::{HashMap, HashSet};

use countersign_core::{
    ids::RolloutId,
    rollout::{Comparison, Enrolment, MAX_RULES, RuleComparison},
};
use sqlx::types::Uuid;
use time::OffsetDateTime;

use crate::{
    Connection, StoreError,
    convert::{all_stored, number, stored},
};

const TABLE: &str = "rollout_comparison";

/// Adds the counts of a slot. The rollout's row is locked first, so servers that add at once take turns and together
/// stay within [`MAX_RULES`].
pub(crate) async fn add(
    tx: &mut Connection,
    id: RolloutId,
    more: &Comparison,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let integer = |n: u64| stored::<_, i64>(TABLE, n);
    // Calls that the candidate answers are counted from the start of the rollout, or from now if an older server
    // counted first.
    sqlx::query!(
        "INSERT INTO rollout_comparison AS kept
             (rollout_id, compared, new_allows, new_denies, enrolled, enrolled_since, last_enrolled_time)
         SELECT $1, $2, $3, $4, $5::bigint, coalesce((SELECT create_time FROM rollout WHERE rollout_id = $1), $6),
             CASE WHEN $5::bigint > 0 THEN $6 END
         ON CONFLICT (rollout_id) DO UPDATE SET compared = kept.compared + excluded.compared,
             new_allows = kept.new_allows + excluded.new_allows, new_denies = kept.new_denies + excluded.new_denies,
             enrolled = coalesce(kept.enrolled, 0) + excluded.enrolled, enrolled_since = coalesce(kept.enrolled_since, $6),
             last_enrolled_time = greatest(kept.last_enrolled_time, excluded.last_enrolled_time)",
        id.0,
        integer(more.compared)?,
        integer(more.new_allows)?,
        integer(more.new_denies)?,
        integer(more.enrolled)?,
        now,
    )
    .execute(&mut *tx)
    .await?;
    if more.rules.is_empty() && more.other_rules.total() == 0 {
        return Ok(());
    }
    let known = sqlx::query_scalar!("SELECT rule_id FROM rollout_rule_comparison WHERE rollout_id = $1", id.0);
    let known: HashSet<String> = known.fetch_all(&mut *tx).await?.into_iter().collect();
    let mut room = MAX_RULES.saturating_sub(known.len());
    let (mut named, mut other) = (Vec::new(), more.other_rules.clone());
    for rule in &more.rules {
        let fits = known.contains(&rule.rule_id) || room > 0;
        if fits {
            room -= usize::from(!known.contains(&rule.rule_id));
            named.push(rule);
        } else {
            other.new_allows += rule.new_allows;
            other.new_denies += rule.new_denies;
        }
    }
    sqlx::query!(
        "INSERT INTO rollout_rule_comparison AS kept (rollout_id, rule_id, new_allows, new_denies)
         SELECT $1, rule.rule_id, rule.new_allows, rule.new_denies
         FROM UNNEST($2::text[], $3::bigint[], $4::bigint[]) AS rule (rule_id, new_allows, new_denies)
         ON CONFLICT (rollout_id, rule_id) DO UPDATE SET new_allows = kept.new_allows + excluded.new_allows,
             new_denies = kept.new_denies + excluded.new_denies",
        id.0,
        &named.iter().map(|rule| rule.rule_id.clone()).collect::<Vec<_>>(),
        &all_stored::<_, i64>(TABLE, named.iter().map(|rule| rule.new_allows))?,
        &all_stored::<_, i64>(TABLE, named.iter().map(|rule| rule.new_denies))?,
    )
    .execute(&mut *tx)
    .await?;
    if other.total() > 0 {
        sqlx::query!(
            "UPDATE rollout_comparison SET other_new_allows = other_new_allows + $2, other_new_denies = other_new_denies + $3
             WHERE rollout_id = $1",
            id.0,
            integer(other.new_allows)?,
            integer(other.new_denies)?
        )
        .execute(tx)
        .await?;
    }
    Ok(())
}

/// The comparisons of these rollouts. A rollout for which no call was compared is left out.
#[tracing::instrument(name = "store.comparison.of", target = "countersign_trace", level = "debug", skip_all)]
pub async fn of(conn: &mut Connection, ids: &[Uuid]) -> Result<HashMap<RolloutId, Comparison>, StoreError> {
    let mut found = HashMap::new();
    let rows = sqlx::query!(
        "SELECT rollout_id, compared, new_allows, new_denies, other_new_allows, other_new_denies, enrolled, enrolled_since,
             last_enrolled_time
         FROM rollout_comparison WHERE rollout_id = ANY ($1)",
        ids
    );
    for row in rows.fetch_all(&mut *conn).await? {
        let comparison = Comparison {
            compared: number(TABLE, "compared", row.compared)?,
            enrolled: number(TABLE, "enrolled", row.enrolled.unwrap_or(0))?,
            enrolment: row.enrolled_since.map(|since| Enrolment { since, last: row.last_enrolled_time }),
            new_allows: number(TABLE, "new_allows", row.new_allows)?,
            new_denies: number(TABLE, "new_denies", row.new_denies)?,
            rules: Vec::new(),
            other_rules: RuleComparison {
                rule_id: String::new(),
                new_allows: number(TABLE, "other_new_allows", row.other_new_allows)?,
                new_denies: number(TABLE, "other_new_denies", row.other_new_denies)?,
            },
        };
        found.insert(RolloutId(row.rollout_id), comparison);
    }
    let rows = sqlx::query!(
        "SELECT rollout_id, rule_id, new_allows, new_denies FROM rollout_rule_comparison WHERE rollout_id = ANY ($1)
         ORDER BY new_allows + new_denies DESC, rule_id",
        ids
    );
    for row in rows.fetch_all(conn).await? {
        let rule = RuleComparison {
            rule_id: row.rule_id,
            new_allows: number(TABLE, "new_allows", row.new_allows)?,
            new_denies: number(TABLE, "new_denies", row.new_denies)?,
        };
        if let Some(comparison) = found.get_mut(&RolloutId(row.rollout_id)) {
            comparison.rules.push(rule);
        }
    }
    Ok(found)
}
