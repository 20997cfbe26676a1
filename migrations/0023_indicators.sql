-- What each server counted, about a second a row. GetIndicators and the gates of rollouts sum it up over all servers; rows
-- are kept for two hours. Both instants are by this database's clock: those of servers may differ, and jump.
CREATE TABLE indicator_slot (
    server_id         uuid        NOT NULL,
    -- The server's own number of the slot: one that is sent again after a doubtful answer meets its first try.
    slot              bigint      NOT NULL,
    begin_time        timestamptz NOT NULL,
    end_time          timestamptz NOT NULL,
    decisions         bigint      NOT NULL,
    missing_sponsor   bigint      NOT NULL,
    policy_errors     bigint      NOT NULL,
    observed          bigint      NOT NULL,
    shed              bigint      NOT NULL,
    issuances         bigint      NOT NULL,
    issuance_failures bigint      NOT NULL,
    -- How long decisions took, microseconds, and how many took so long.
    latency_us        bigint[]    NOT NULL,
    latency_count     bigint[]    NOT NULL,
    PRIMARY KEY (server_id, slot)
);
CREATE INDEX indicator_slot_end ON indicator_slot (end_time);

-- What a slot holds of a rollout that was open.
CREATE TABLE rollout_slot (
    server_id        uuid   NOT NULL,
    slot             bigint NOT NULL,
    rollout_id       uuid   NOT NULL,
    compared         bigint NOT NULL,
    candidate_errors bigint NOT NULL,
    -- Calls that the candidate answered and refused, and that the baseline would allow.
    held_back        bigint NOT NULL,
    PRIMARY KEY (server_id, slot, rollout_id),
    FOREIGN KEY (server_id, slot) REFERENCES indicator_slot ON DELETE CASCADE
);

-- Where the two sides of a rollout disagreed since its start.
CREATE TABLE rollout_comparison (
    rollout_id       uuid PRIMARY KEY,
    compared         bigint NOT NULL,
    new_allows       bigint NOT NULL,
    new_denies       bigint NOT NULL,
    -- Of rules beyond those that have a row of their own.
    other_new_allows bigint NOT NULL DEFAULT 0,
    other_new_denies bigint NOT NULL DEFAULT 0
);

-- The same by rule, at most 100 a rollout; '' is no rule.
CREATE TABLE rollout_rule_comparison (
    rollout_id uuid   NOT NULL REFERENCES rollout_comparison,
    rule_id    text   NOT NULL,
    new_allows bigint NOT NULL,
    new_denies bigint NOT NULL,
    PRIMARY KEY (rollout_id, rule_id)
);
