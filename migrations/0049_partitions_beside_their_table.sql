-- The partitions of the custody log are made where the log is: the schema of the installation, whichever it is. Nothing that
-- others made under the same name stands before it, since the path names this schema alone.
DO $migration$
BEGIN
    EXECUTE format($function$
CREATE OR REPLACE FUNCTION ensure_custody_partitions(from_day date, days integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = %I, pg_temp
AS $$
DECLARE
    day date;
    name text;
BEGIN
    IF days > 32 THEN
        RAISE EXCEPTION 'at most 32 days of partitions are made at a time, not %%', days
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('countersign.custody_partitions'));
    FOR day IN SELECT from_day + n FROM generate_series(0, days - 1) AS n LOOP
        name := 'custody_event_' || to_char(day, 'YYYYMMDD');
        -- A partition cannot be split off the default one once that holds rows of its day; they stay readable there.
        IF to_regclass(name) IS NULL AND NOT EXISTS (
            SELECT FROM custody_event_default
            WHERE event_id >= uuid_v7_floor(day::timestamp AT TIME ZONE 'UTC')
              AND event_id < uuid_v7_floor((day + 1)::timestamp AT TIME ZONE 'UTC')
        ) THEN
            EXECUTE format(
                'CREATE TABLE %%I PARTITION OF custody_event FOR VALUES FROM (%%L) TO (%%L)',
                name,
                uuid_v7_floor(day::timestamp AT TIME ZONE 'UTC'),
                uuid_v7_floor((day + 1)::timestamp AT TIME ZONE 'UTC')
            );
        END IF;
    END LOOP;
END
$$
    $function$, current_schema());
END
$migration$;
