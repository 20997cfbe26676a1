-- Secrets of the installation that are no signing keys, encrypted like those. They are not derived from the key-encryption
-- key, so that it can be replaced.
CREATE TABLE sealed_secret (
    name          text PRIMARY KEY,
    private_nonce bytea NOT NULL,
    private_key   bytea NOT NULL
);
