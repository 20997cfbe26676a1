-- The roles that bind a run beside its own: those of its ancestors, the root's first. NULL: none.
ALTER TABLE instance ADD COLUMN inherited_roles text[];

-- Runs that may still be live were started when a child could be given any role of its sponsor: they are bound by those of
-- their ancestors from now on. What is long over stays as it was decided on.
UPDATE instance AS child SET inherited_roles = bound.roles
FROM (
    SELECT below.instance_id, array_agg(above.role ORDER BY above.place) AS roles
    FROM instance AS below, LATERAL (
        SELECT ancestor.role, min(member.place) AS place
        FROM unnest(below.chain) WITH ORDINALITY AS member (id, place)
        JOIN instance AS ancestor ON ancestor.instance_id = member.id
        WHERE ancestor.role <> below.role
        GROUP BY ancestor.role
    ) AS above
    WHERE below.depth > 0 AND below.expire_time > now() - interval '1 hour'
    GROUP BY below.instance_id
) AS bound
WHERE child.instance_id = bound.instance_id;
