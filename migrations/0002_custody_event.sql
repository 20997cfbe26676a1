-- One event, one leaf. leaf_bytes is the event, exactly as hashed; the columns beside it are an index over it.
-- event_id is a UUIDv7 and so fixes the day partition: a retry meets its first try.
CREATE TABLE custody_event (
    log_id           smallint NOT NULL DEFAULT 0,
    log_index        bigint   NOT NULL,
    event_id         uuid     NOT NULL,
    kind             text     NOT NULL,
    sponsor_id       text,
    instance_id      uuid,
    root_instance_id uuid,
    tool_id          text,
    effect           text,
    -- Only of outcomes: the decision they answer.
    decision_id      uuid,
    leaf_bytes       bytea    NOT NULL CHECK (octet_length(leaf_bytes) <= 16384),
    -- Erasable texts and their salts: the leaf holds only SHA-256(salt || text).
    purpose          text,
    purpose_salt     bytea,
    reason           text,
    reason_salt      bytea,
    PRIMARY KEY (event_id)
) PARTITION BY RANGE (event_id);

-- Reading in log order (ListEvents, proofs, exporters). Grows at its right edge only.
CREATE INDEX custody_event_log_index ON custody_event (log_index);
-- GetCustodyChain: everything of one chain.
CREATE INDEX custody_event_root ON custody_event (root_instance_id) WHERE root_instance_id IS NOT NULL;

-- Catches what no day partition takes, such as an id from a clock that jumped.
CREATE TABLE custody_event_default PARTITION OF custody_event DEFAULT;

-- The smallest UUIDv7 of an instant.
CREATE FUNCTION uuid_v7_floor(at timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (rpad(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0'), 32, '0'))::uuid;

-- Makes the day partitions of the days given, where they do not exist. Safe to run on every replica at once.
CREATE FUNCTION ensure_custody_partitions(from_day date, days integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public
AS $$
DECLARE
    day date;
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('countersign.custody_partitions'));
    FOR day IN SELECT from_day + n FROM generate_series(0, days - 1) AS n LOOP
        name := 'custody_event_' || to_char(day, 'YYYYMMDD');
        -- A partition cannot be split off the default one once that holds rows of its day; they stay readable there.
        IF to_regclass('public.' || name) IS NULL AND NOT EXISTS (
            SELECT FROM public.custody_event_default
            WHERE event_id >= public.uuid_v7_floor(day::timestamp AT TIME ZONE 'UTC')
              AND event_id < public.uuid_v7_floor((day + 1)::timestamp AT TIME ZONE 'UTC')
        ) THEN
            EXECUTE format(
                'CREATE TABLE public.%I PARTITION OF public.custody_event FOR VALUES FROM (%L) TO (%L)',
                name,
                public.uuid_v7_floor(day::timestamp AT TIME ZONE 'UTC'),
                public.uuid_v7_floor((day + 1)::timestamp AT TIME ZONE 'UTC')
            );
        END IF;
    END LOOP;
END
$$;

-- Append-only, whatever the caller's code: only the erasable columns may change, and only to nothing.
CREATE FUNCTION custody_event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (
        to_jsonb(NEW) - ARRAY['purpose', 'purpose_salt', 'reason', 'reason_salt']
      = to_jsonb(OLD) - ARRAY['purpose', 'purpose_salt', 'reason', 'reason_salt']
    ) AND num_nonnulls(NEW.purpose, NEW.purpose_salt, NEW.reason, NEW.reason_salt) = 0 THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'custody_event is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON custody_event
    FOR EACH ROW EXECUTE FUNCTION custody_event_is_append_only();
