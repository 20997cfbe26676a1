//! The rules of the fuzz targets, for a bounded number of cases.

#[path = "../../core/tests/edits/mod.rs"]
mod edits;
#[expect(unreachable_pub, reason = "public to the fuzz targets, whose library it is")]
#[path = "../../../fuzz/src/ledger.rs"]
mod targets;

use edits::holds;

#[test]
fn a_leaf_that_is_read_is_the_bytes_that_are_hashed() {
    holds(&targets::leaf_seeds(), 2_000, targets::leaf);
}

#[test]
fn an_export_that_is_taken_is_that_of_its_leaf() {
    holds(&targets::export_seeds(), 2_000, targets::export);
}

#[test]
fn only_the_proof_of_the_log_is_accepted() {
    holds(&targets::proof_seeds(), 1_000, targets::proof);
}
