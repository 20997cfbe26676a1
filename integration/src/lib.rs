//! Starts the real program on a real Postgres, for tests and measurements that use it from outside, as a user does.
//!
//! ```no_run
//! # async fn example() -> Result<(), countersign_integration::Failure> {
//! use countersign_integration::{Cluster, Launch};
//!
//! let database = Cluster::shared().await?.database().await?;
//! let server = Launch::dev().database(&database).start().await?;
//! let rita = server.operator("rita").await?;
//! # Ok(())
//! # }
//! ```
//!
//! Nothing outlives the process that started it, however it ends: the kernel stops servers and Postgres with it.

mod faketime;
mod http;
mod proxy;
pub mod record;
mod server;
mod spawn;

pub use countersign_testing::{Cluster, Database, Failure, binary, connect};
pub use faketime::FakeClock;
pub use http::{Answer, Http};
pub use proxy::{Proxy, Weather};
pub use server::{KEY_ENCRYPTION_KEY, Launch, Server};
