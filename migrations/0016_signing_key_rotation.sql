-- Keys are listed newest first, and at most one is next.
CREATE UNIQUE INDEX signing_key_one_next ON signing_key (state) WHERE state = 'next';
CREATE INDEX signing_key_newest ON signing_key (create_time, kid COLLATE "C");
