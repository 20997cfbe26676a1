-- How many wait for people, of a chain and of a sponsor: each has a ceiling.
CREATE INDEX approval_pending_chain ON approval (root_instance_id, expire_time) WHERE state = 'PENDING';
CREATE INDEX approval_pending_sponsor ON approval (sponsor_id, expire_time) WHERE state = 'PENDING';
