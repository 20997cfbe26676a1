-- Whose a login is: an operator id, however it comes in (API key, identity provider, client certificate). One person binds it,
-- a second one confirms.
CREATE TABLE person_binding (
    operator_id  text PRIMARY KEY,
    person_id    text        NOT NULL,
    -- None: taken over from before there were persons.
    bound_by     text,
    bind_time    timestamptz NOT NULL,
    confirmed_by text,
    confirm_time timestamptz,
    CHECK (num_nonnulls(confirmed_by, confirm_time) IN (0, 2))
);
CREATE INDEX person_binding_person ON person_binding (person_id);

-- Nobody has said whose the logins are that there are: each counts as a person of its name, until a second person confirms it.
INSERT INTO person_binding (operator_id, person_id, bind_time) SELECT operator_id, operator_id, now() FROM operator;

-- Since when two persons were confirmed who can confirm others, for the first time: before, there is nobody who could. Never emptied,
-- so that whoever ends the logins of all others is not the first person again.
CREATE TABLE two_persons (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    since timestamptz NOT NULL
);
INSERT INTO two_persons (since)
    SELECT now() WHERE (SELECT count(*) FROM operator WHERE roles && ARRAY['admin', 'approver']) > 1;
-- Where there is one who could confirm, there is no second.
UPDATE person_binding SET confirmed_by = 'bootstrap', confirm_time = bind_time WHERE NOT EXISTS (SELECT FROM two_persons);

ALTER TABLE sponsor
    -- The person, where somebody named one.
    ADD COLUMN person_id text,
    -- Whether a second person said so: whoever approved or recertified the sponsor since.
    ADD COLUMN person_confirmed boolean NOT NULL DEFAULT false,
    -- Everybody who changed the terms since they were approved before.
    ADD COLUMN terms_by text[] NOT NULL DEFAULT '{}',
    ADD CONSTRAINT sponsor_person CHECK (person_id IS NOT NULL OR NOT person_confirmed);
CREATE INDEX sponsor_by_person ON sponsor (person_id) WHERE person_id IS NOT NULL;

-- An operator was a sponsor by having the sponsor's id.
UPDATE sponsor SET person_id = sponsor_id WHERE EXISTS (SELECT FROM operator WHERE operator_id = sponsor.sponsor_id);
