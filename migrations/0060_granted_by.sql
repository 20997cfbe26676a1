-- The credential with which a child was started: revoking that credential stops the child too. NULL: a root instance.
ALTER TABLE instance ADD COLUMN parent_credential_id uuid;
CREATE INDEX instance_live_granted_by ON instance (parent_credential_id)
    WHERE state = 'LIVE' AND parent_credential_id IS NOT NULL;

-- Of children that may still be live, the log says it: the event of a child's grant names the leaf hash of its parent's.
-- Scalar subqueries, so that each child is looked up by its instance and the log is not read as a whole.
UPDATE instance AS child SET parent_credential_id = granted.by
FROM (
    SELECT below.instance_id, (
        SELECT substr(convert_from(above.leaf_bytes, 'UTF8')::jsonb ->> 'credential_id', 6)::uuid
        FROM custody_event AS above
        WHERE above.instance_id = below.parent_id AND above.kind IN ('credential_issued', 'delegated')
          AND encode(sha256('\x00'::bytea || above.leaf_bytes), 'hex') = (
              SELECT convert_from(own.leaf_bytes, 'UTF8')::jsonb ->> 'custody_ref'
              FROM custody_event AS own
              WHERE own.instance_id = below.instance_id AND own.kind = 'delegated'
              ORDER BY own.log_index DESC LIMIT 1
          )
        LIMIT 1
    ) AS by
    FROM instance AS below
    WHERE below.state = 'LIVE' AND below.depth > 0 AND below.expire_time > now() - interval '1 hour'
) AS granted
WHERE child.instance_id = granted.instance_id;
