-- The authorities that sign X.509-SVIDs, shared by replicas; the private half is encrypted like that of a signing key. One signs
-- from sign_from until sign_until, by time alone, long after it is in the bundle; it leaves when its last SVID has expired.
CREATE TABLE x509_authority (
    -- SHA-256 of the certificate, lower-case hexadecimal.
    authority_id  text PRIMARY KEY,
    trust_domain  text        NOT NULL,
    -- DER.
    certificate   bytea       NOT NULL,
    private_nonce bytea       NOT NULL,
    private_key   bytea       NOT NULL,
    publish_time  timestamptz NOT NULL,
    sign_from     timestamptz NOT NULL,
    sign_until    timestamptz NOT NULL,
    expire_time   timestamptz NOT NULL,
    CHECK (publish_time <= sign_from AND sign_from < sign_until AND sign_until < expire_time)
);
