-- Counts the changes of an instance's row; part of its etag.
ALTER TABLE instance ADD COLUMN revision bigint NOT NULL DEFAULT 1;

-- One revocation entry stops a whole tree. The rows of what it stopped follow in the background, entry by entry, up to this
-- one.
CREATE TABLE settled_revocation (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    seq      bigint  NOT NULL
);
INSERT INTO settled_revocation (seq) VALUES (0);

-- Where an instance stands by the entries, before its row says so, and since when. What had expired before an entry is
-- not touched by it. What its sponsor's departure orphaned stays ORPHANED until a later entry.
CREATE FUNCTION instance_standing(i instance) RETURNS TABLE (standing text, since timestamptz)
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT
        CASE
            WHEN entries.first IS NULL THEN i.state
            WHEN entries.first = entries.departure AND entries.later IS NULL THEN 'ORPHANED'
            ELSE 'REVOKED'
        END,
        CASE WHEN entries.first = entries.departure THEN entries.later ELSE entries.at END
    FROM (
        SELECT
            min(r.seq) FILTER (WHERE r.create_time < i.expire_time) AS first,
            min(r.create_time) FILTER (WHERE r.create_time < i.expire_time) AS at,
            min(r.create_time) FILTER (WHERE r.seq > s.depart_seq) AS later,
            min(s.depart_seq) AS departure
        FROM (
            SELECT seq, create_time FROM revocation
            WHERE kind = 'sponsor' AND id = i.sponsor_id AND seq > i.rev AND i.state IN ('LIVE', 'ORPHANED')
            UNION ALL
            -- Looked up one by one: a scan of all entries since would be one for each instance. OFFSET keeps it so.
            SELECT seq, create_time FROM unnest(i.chain || i.instance_id) AS member, LATERAL (
                SELECT seq, create_time FROM revocation
                WHERE kind = 'instance' AND id = 'inst_' || member AND seq > i.rev OFFSET 0
            ) AS entry
            WHERE i.state IN ('LIVE', 'ORPHANED')
            UNION ALL
            SELECT seq, create_time FROM revocation
            WHERE kind = 'all' AND id = '' AND seq > i.rev AND i.state IN ('LIVE', 'ORPHANED')
        ) AS r
        LEFT JOIN sponsor s ON s.sponsor_id = i.sponsor_id
    ) AS entries
$$;
DROP FUNCTION instance_is_revoked(instance);

-- What an entry stops, by sponsor, by chain, or all of it; rows leave these indexes as they follow.
CREATE INDEX instance_live_sponsor ON instance (sponsor_id, expire_time) WHERE state = 'LIVE';
CREATE INDEX instance_live ON instance (expire_time) WHERE state = 'LIVE';
CREATE INDEX instance_orphaned ON instance (sponsor_id) WHERE state = 'ORPHANED';
CREATE INDEX instance_open_chain ON instance (root_instance_id) WHERE state IN ('LIVE', 'ORPHANED');
