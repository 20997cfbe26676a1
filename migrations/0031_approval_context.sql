-- What else an approval is bound to, and shows to who answers. All of it may be emptied (erasure), and then no call is the same.
ALTER TABLE approval
    -- The context attributes of the call, as canonical JSON. None: asked before they were kept.
    ADD COLUMN context      text,
    -- Salts the commitment to them in the leaf of the request; none where there are no attributes.
    ADD COLUMN context_salt bytea CHECK (octet_length(context_salt) = 16),
    -- The arguments of the call, canonical JSON that hashes to request_hash; none where they were not sent.
    ADD COLUMN arguments    text CHECK (octet_length(arguments) <= 8192);
