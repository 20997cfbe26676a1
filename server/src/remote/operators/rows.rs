//! Operators as a table, with their standing: in use, disabled or deleted.

use countersign_client::v1::Operator;

use crate::remote::output::{joined, listed, printable, time};

pub(super) fn rows(operators: &[Operator]) -> String {
    let row = |operator: &Operator| {
        let standing = match (&operator.disable_time, operator.deleted) {
            (None, _) => "in use".to_owned(),
            (at, false) => format!("disabled since {}", time(at.as_ref())),
            (at, true) => format!("deleted at {}", time(at.as_ref())),
        };
        let added = time(operator.create_time.as_ref());
        let name = printable(&operator.display_name);
        [printable(&operator.operator_id), joined(&operator.roles), standing, added, name]
    };
    let rows: Vec<_> = operators.iter().map(row).collect();
    listed(["operator", "roles", "standing", "added", "name"], &rows, "There is no such operator.")
}
