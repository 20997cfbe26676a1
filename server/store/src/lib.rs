//! Every SQL statement of Countersign, one module an aggregate.
