-- The agent of the root, where it is another one than the instance's own: rollouts whose sticky key is AGENT go by it. NULL: it
-- is the same. Credentials that were signed before do not say it either, so nothing is filled in for them.
ALTER TABLE instance ADD COLUMN root_agent text;
