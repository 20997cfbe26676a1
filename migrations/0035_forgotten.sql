-- Which single-use credentials were used is forgotten with what says so: whatever expires before this counts as used. So a
-- clock that is wrong when rows are forgotten refuses too much, and never lets one be used twice.
CREATE TABLE forgotten (
    only_row         boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    single_use_until timestamptz NOT NULL
);
INSERT INTO forgotten (single_use_until) VALUES ('1970-01-01 00:00:00+00');
