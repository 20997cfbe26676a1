-- Decisions of whose caller nobody knows anything: they count for no gate.
ALTER TABLE indicator_slot ADD COLUMN unauthenticated bigint NOT NULL DEFAULT 0;

-- Who told of calls that came without a sponsor: no caller by itself may undo a rollout.
CREATE TABLE missing_sponsor_slot (
    server_id uuid   NOT NULL,
    slot      bigint NOT NULL,
    -- The operator, and where a gateway authenticated its own caller, who that is, hashed; '' stands for those beyond a hundred.
    caller    text   NOT NULL,
    count     bigint NOT NULL,
    PRIMARY KEY (server_id, slot, caller),
    FOREIGN KEY (server_id, slot) REFERENCES indicator_slot ON DELETE CASCADE
);
