//! Names in the private Postgres: its superuser, the role that serves, its database and port, and the hidden command.

/// The database superuser, and the owner of everything in the private Postgres.
pub(crate) const USER: &str = "countersign";
/// The role that a server connects as. It owns nothing, so that a server cannot change what is on record.
pub const SERVING_ROLE: &str = "countersign_server";
/// The database that every Postgres has from the start.
pub(crate) const DATABASE: &str = "postgres";
/// Only a part of the socket's name: nothing listens on a TCP port.
pub(crate) const PORT: u16 = 5432;
/// The name of the hidden command.
pub const COMMAND: &str = "postgres-child";
