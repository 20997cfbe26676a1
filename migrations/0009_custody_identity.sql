-- Who a sponsor is, beside the leaf that commits to it; erasable like the other texts.
ALTER TABLE custody_event ADD COLUMN identity text, ADD COLUMN identity_salt bytea;

CREATE OR REPLACE FUNCTION custody_event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    erasable CONSTANT text[] :=
        ARRAY['purpose', 'purpose_salt', 'reason', 'reason_salt', 'identity', 'identity_salt'];
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - erasable = to_jsonb(OLD) - erasable AND num_nonnulls(
        NEW.purpose, NEW.purpose_salt, NEW.reason, NEW.reason_salt, NEW.identity, NEW.identity_salt
    ) = 0 THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'custody_event is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;

-- A whole table is emptied by TRUNCATE without a row trigger.
CREATE FUNCTION custody_event_is_not_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'custody_event is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER not_truncated BEFORE TRUNCATE ON custody_event
    FOR EACH STATEMENT EXECUTE FUNCTION custody_event_is_not_truncated();

-- GetCustodyChain: a sponsor's own life. Decisions name an instance and so do not pay for it.
CREATE INDEX custody_event_sponsor ON custody_event (sponsor_id, log_index) WHERE instance_id IS NULL;
