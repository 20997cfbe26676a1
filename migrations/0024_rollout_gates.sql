-- Since when figures count for a rollout's gates (none: since advance_time), and the percentage that a person last gave it
-- (none: the present one), from which automation goes on.
ALTER TABLE rollout ADD COLUMN gates_since timestamptz, ADD COLUMN person_percent integer;

-- What each gate last said. Apart from the rollout: a reading is no change of it.
CREATE TABLE gate_reading (
    rollout_id    uuid        NOT NULL REFERENCES rollout,
    gate          text        NOT NULL,
    verdict       text        NOT NULL CHECK (verdict IN ('PASS', 'FAIL', 'INCONCLUSIVE')),
    -- Basis points; of LATENCY_P95 microseconds.
    observed      bigint,
    threshold     bigint      NOT NULL,
    samples       bigint      NOT NULL,
    needed        bigint      NOT NULL,
    evaluate_time timestamptz NOT NULL,
    PRIMARY KEY (rollout_id, gate)
);
