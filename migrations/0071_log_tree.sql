-- The tree over the custody log, as hash tiles of C2SP tlog-tiles: 1 to 256 hashes of 32 bytes. Level 0 has leaf hashes, level n the
-- roots of full tiles of level n - 1. They outlive the events, so that old proofs can still be made. A server that does not know of
-- them writes none, and a newer one catches up.
CREATE TABLE log_tile (
    log_id     smallint NOT NULL,
    level      smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
    tile_index bigint   NOT NULL CHECK (tile_index >= 0),
    hashes     bytea    NOT NULL CHECK (octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0),
    PRIMARY KEY (log_id, level, tile_index)
);
-- Hashes do not compress, and single ones are read out of the middle.
ALTER TABLE log_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- A tile only grows at its end, whatever the caller's code.
CREATE FUNCTION log_tile_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.log_id, NEW.level, NEW.tile_index) = (OLD.log_id, OLD.level, OLD.tile_index)
        AND substring(NEW.hashes FOR octet_length(OLD.hashes)) = OLD.hashes THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a tile of the custody log only grows' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE ON log_tile FOR EACH ROW EXECUTE FUNCTION log_tile_only_grows();
CREATE TRIGGER stays BEFORE TRUNCATE ON log_tile FOR EACH STATEMENT EXECUTE FUNCTION log_tile_only_grows();

-- How far the tiles reach; whoever adds to them locks this row. The origin names the log in its checkpoints, for good.
CREATE TABLE log_tree (
    log_id   smallint PRIMARY KEY,
    size     bigint   NOT NULL CHECK (size >= 0),
    frontier bytea    NOT NULL CHECK (octet_length(frontier) % 32 = 0),
    origin   text
);
INSERT INTO log_tree (log_id, size, frontier) VALUES (0, 0, '');

-- Signed sizes and roots (C2SP tlog-checkpoint). Stored before they are published; old ones are thinned out.
CREATE TABLE log_checkpoint (
    log_id    smallint    NOT NULL,
    size      bigint      NOT NULL CHECK (size >= 0),
    root_hash bytea       NOT NULL CHECK (octet_length(root_hash) = 32),
    note      text        NOT NULL,
    -- When it was signed last: again from time to time while the log does not grow.
    sign_time timestamptz NOT NULL,
    PRIMARY KEY (log_id, size)
);

-- Published checkpoints that a restored backup is behind of, and that a person gave up: those of sizes above from_size, up to to_size.
CREATE TABLE log_override (
    log_id        smallint    NOT NULL,
    from_size     bigint      NOT NULL,
    to_size       bigint      NOT NULL CHECK (to_size >= from_size),
    root_hash     bytea       NOT NULL CHECK (octet_length(root_hash) = 32),
    override_time timestamptz NOT NULL,
    PRIMARY KEY (log_id, to_size, root_hash)
);

-- How far the events were compared with the tiles, by all servers together, and what was found.
CREATE TABLE log_check (
    log_id       smallint PRIMARY KEY,
    -- The events before this one were compared in the round that is under way.
    checked_size bigint   NOT NULL CHECK (checked_size >= 0),
    round_start  timestamptz,
    -- The first event of this round, and of the last whole one, that does not match, and what is wrong with it.
    round_bad    bigint,
    round_why    text,
    bad_index    bigint,
    bad_why      text,
    -- The last whole round: how many events it compared, and when it was complete.
    whole_size   bigint,
    whole_time   timestamptz
);
INSERT INTO log_check (log_id, checked_size) VALUES (0, 0);
