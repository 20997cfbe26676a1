-- Whom a run acts for, beside the leaf of the grant that commits to it; erasable like the other texts.
ALTER TABLE custody_event ADD COLUMN on_behalf_of text, ADD COLUMN on_behalf_of_salt bytea;

CREATE OR REPLACE FUNCTION custody_event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    erasable CONSTANT text[] := ARRAY[
        'purpose', 'purpose_salt', 'reason', 'reason_salt', 'identity', 'identity_salt', 'on_behalf_of', 'on_behalf_of_salt'
    ];
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - erasable = to_jsonb(OLD) - erasable AND num_nonnulls(
        NEW.purpose, NEW.purpose_salt, NEW.reason, NEW.reason_salt, NEW.identity, NEW.identity_salt,
        NEW.on_behalf_of, NEW.on_behalf_of_salt
    ) = 0 THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'custody_event is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;

-- Renewals and children say it again.
ALTER TABLE instance ADD COLUMN on_behalf_of text;
