//! Policy documents to Cedar: loading, indexing, evaluation, explanation. No I/O.
