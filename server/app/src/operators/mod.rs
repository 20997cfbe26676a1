//! Operators, their API keys, and the persons behind them.

pub(crate) mod create_api_key;
pub(crate) mod create_operator;
pub(crate) mod four_eyes;
pub(crate) mod last_admin;
pub(crate) mod operator_standing;
pub(crate) mod persons;
pub(crate) mod read_operators;
pub(crate) mod recover_admin;
pub(crate) mod revoke_api_key;
pub(crate) mod set_operator_roles;
