-- Each server writes here every few seconds, so that it knows whether the database takes writes. The row is updated and
-- committed; the filler is written into a page of its own and rolled back, which fails where the disk is full.
CREATE TABLE write_probe (
    only_row   boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    probe_time timestamptz NOT NULL
) WITH (fillfactor = 10);
INSERT INTO write_probe VALUES (true, now());

CREATE TABLE write_probe_filler (filler bytea NOT NULL);
-- Neither compressed nor moved elsewhere.
ALTER TABLE write_probe_filler ALTER COLUMN filler SET STORAGE PLAIN;
