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

#[test]
fn a_note_is_its_bytes() {
    holds(&targets::note_seeds(), 2000, targets::note);
}

#[test]
fn only_a_signed_checkpoint_opens() {
    holds(&targets::checkpoint_seeds(), 2000, targets::checkpoint);
}

#[test]
fn a_tile_path_is_its_text() {
    holds(&targets::tile_path_seeds(), 4000, targets::tile_path);
}

#[test]
fn an_entry_bundle_is_its_bytes() {
    holds(&targets::entries_seeds(), 2000, targets::entries);
}

#[test]
fn a_tlog_proof_proves_its_leaf() {
    holds(&targets::tlog_proof_seeds(), 1000, targets::tlog_proof);
}

#[test]
fn only_the_bundle_that_was_written_holds() {
    holds(&targets::evidence_seeds(), 200, targets::evidence);
}
