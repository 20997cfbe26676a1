//! What must hold of a configuration, whatever it says. Only tests and the fuzz targets see this.

pub use crate::config::fuzz::{
    config, config_seeds, database_url, database_url_seeds, token_service, token_service_seeds,
};
