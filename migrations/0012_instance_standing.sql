-- Whether a revocation newer than the instance's last credential stops it. One entry stops a whole tree, so an instance's
-- own row does not say it.
CREATE INDEX revocation_subject ON revocation (kind, id, seq);

CREATE FUNCTION instance_is_revoked(i instance) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM revocation r
        WHERE r.seq > i.rev AND (
            (r.kind = 'sponsor' AND r.id = i.sponsor_id)
            OR (r.kind = 'instance' AND r.id = ANY (
                SELECT 'inst_' || member FROM unnest(i.chain || i.instance_id) AS member
            ))
            OR r.kind = 'all'
        )
    )
$$;
