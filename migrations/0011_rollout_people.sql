-- Who started a rollout (none: a policy document at start), and when it ended.
ALTER TABLE rollout ADD COLUMN created_by text, ADD COLUMN end_time timestamptz;
