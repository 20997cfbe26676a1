//! What tests share, inside and outside: the run's Postgres, a database a test, and clocks that are moved by hand.
//!
//! ```no_run
//! # async fn example() -> Result<(), countersign_testing::Failure> {
//! use countersign_testing::{Cluster, HandMoved};
//! use time::Duration;
//!
//! let database = Cluster::shared().await?.database().await?;
//! let moved = HandMoved::on(database).await?;
//! moved.passes(Duration::days(14)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Nothing outlives the process that started it, however it ends: the kernel stops Postgres with it. The programs of
//! one `cargo test` run one after the other, so each starts the Postgres of the same folder again, which takes a
//! moment.

mod binary;
mod by_hand;
mod clock;
mod cluster;
mod kill;

pub use binary::{binary, launcher};
pub use by_hand::HandMoved;
pub use clock::ManualClock;
pub use cluster::{Cluster, Database, connect};

/// Why something could not be started or reached, in words for the person who runs the tests.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
