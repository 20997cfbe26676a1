-- Keys that are for some tools or some sponsors. Their roles stand in a column of their own: a server that knows no scopes reads
-- such a key as one without roles, and so lets it do nothing.
ALTER TABLE api_key ADD COLUMN scoped_roles text[] NOT NULL DEFAULT '{}';
ALTER TABLE api_key ADD COLUMN scope_tools text[] NOT NULL DEFAULT '{}';
ALTER TABLE api_key ADD COLUMN scope_sponsors text[] NOT NULL DEFAULT '{}';
ALTER TABLE api_key ADD CONSTRAINT api_key_scope CHECK (
    CASE WHEN cardinality(scope_tools) + cardinality(scope_sponsors) = 0
        THEN cardinality(scoped_roles) = 0
        ELSE cardinality(roles) = 0 END);
