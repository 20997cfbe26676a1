-- The version that answered last where no rollout did: its roles bound new credentials while a baseline answers that is no
-- version. By the order of what was done, not by a clock.
ALTER TABLE active_policy ADD COLUMN last_version bigint REFERENCES policy;

UPDATE active_policy SET last_version = coalesce(
    version, (SELECT version FROM policy WHERE activate_time IS NOT NULL ORDER BY activate_time DESC LIMIT 1)
);
