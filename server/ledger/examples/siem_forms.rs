//! Renders leaves for a SIEM, to hold them against a schema or to try a mapping: `siem_forms FORM < LEAVES`.
//!
//! Reads one leaf a line, as it is hashed, and writes one event a line. The log index is the number of the line.

use std::{env, error::Error, io};

use countersign_ledger::{
    export::Disclosed,
    siem::{Event, Form, render},
};

const ORIGIN: &str = "countersign.example/log";

fn main() -> Result<(), Box<dyn Error>> {
    let form: Form = env::args().nth(1).ok_or("usage: siem_forms countersign|ecs|ocsf|otel < LEAVES")?.parse()?;
    for (log_index, line) in (0..).zip(io::stdin().lines()) {
        let line = line?;
        let event = Event { leaf_bytes: line.as_bytes(), log_index, disclosed: &Disclosed::default() };
        println!("{}", render(form, &event, ORIGIN)?);
    }
    Ok(())
}
