-- Who made this installation: `serve --dev` lets anybody in, and opens no other's.
CREATE TABLE installation (
    only_row    boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    made_by     text        NOT NULL CHECK (made_by IN ('dev', 'serve')),
    create_time timestamptz NOT NULL DEFAULT now()
);
