-- How long the span is that a gate was read over, seconds; and where that is longer than the rollout's window, what the window
-- alone holds. NULL: written by a server that reads the window only.
ALTER TABLE gate_reading
    ADD COLUMN span_seconds bigint, ADD COLUMN recent_observed bigint, ADD COLUMN recent_samples bigint;

-- Calls that the candidate answered, since when they are counted, and when the last one was. NULL: not counted, by a server that
-- does not know of it.
ALTER TABLE rollout_comparison
    ADD COLUMN enrolled bigint, ADD COLUMN enrolled_since timestamptz, ADD COLUMN last_enrolled_time timestamptz;
