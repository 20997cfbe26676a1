//! The Countersign server: configuration, wiring, workers, private Postgres, command line.
