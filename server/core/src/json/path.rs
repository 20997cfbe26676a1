//! The path of a value in JSON, for error messages: `items[2].amount`.

use std::fmt::{self, Write};

/// The path to a value, built from the value outwards, so that it costs nothing if nothing is refused.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Path {
    /// The value is below this member of an object.
    pub fn below_key(&mut self, key: impl Into<String>) {
        self.0.push(Step::Key(key.into()));
    }

    /// The value is below this item of an array.
    pub fn below_index(&mut self, index: usize) {
        self.0.push(Step::Index(index));
    }
}

/// `items[2].amount`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, step) in self.0.iter().rev().enumerate() {
            match step {
                Step::Key(key) if nth == 0 => f.write_str(key)?,
                Step::Key(key) => {
                    f.write_char('.')?;
                    f.write_str(key)?;
                }
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
