-- How many instances of a chain are live, counted where a grant is recorded; instance_live_sponsor serves the sponsors.
CREATE INDEX instance_live_root ON instance (root_instance_id, expire_time) WHERE state = 'LIVE';
