-- Whoever makes a key knows it. One that lets somebody else vouch for things waits for a second person.
ALTER TABLE api_key
    -- Who made it; none: the machine itself, or a version that did not write it down.
    ADD COLUMN made_by text,
    -- Whether it admits its owner: those that there are do.
    ADD COLUMN confirmed boolean NOT NULL DEFAULT true;
