-- The newest grant of an instance, for questions that name it and bring no credential of it.
CREATE INDEX custody_event_grant ON custody_event (instance_id, log_index)
    WHERE kind IN ('credential_issued', 'delegated');
