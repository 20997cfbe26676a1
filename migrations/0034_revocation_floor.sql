-- Revocation entries up to the floor may be forgotten, and from the commit that moves it a credential whose `rev` is below it
-- counts as expired. So no clock decides which entries matter: one that is wrong moves the floor and refuses too much. An
-- older server beside this one goes on by its clock; the entries stay in their table.
ALTER TABLE log_head ADD COLUMN revocation_floor bigint NOT NULL DEFAULT 0;
