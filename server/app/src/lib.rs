//! The use cases of Countersign, one file a verb. Transactions start and end here.
