-- Raw Cedar beside the document; both are immutable. activate_time says when the version last became active.
ALTER TABLE policy
    ADD COLUMN cedar text NOT NULL DEFAULT '',
    ADD COLUMN rule_count integer NOT NULL DEFAULT 0,
    -- Where the custody log holds its creation.
    ADD COLUMN log_index bigint NOT NULL DEFAULT 0,
    ADD COLUMN activate_time timestamptz;

-- What answers where no rollout does: a version, or what a rollout that was undone had as its baseline.
ALTER TABLE active_policy
    ALTER COLUMN version DROP NOT NULL,
    ADD COLUMN baseline text CHECK (baseline IN ('observe', 'deny')),
    ADD CONSTRAINT active_policy_one_answer CHECK (num_nonnulls(version, baseline) = 1);
