//! Rules for a configuration, whatever it contains. For tests and fuzz targets only.

pub use crate::config::fuzz::{
    config, config_seeds, database_url, database_url_seeds, token_service, token_service_seeds,
};
