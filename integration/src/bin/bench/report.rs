//! The table and its JSON.

use std::fmt;

use serde_json::{Value, json};

use crate::{
    Options, Result,
    figures::{Run, Spread},
    rows::{Row, Target},
};

/// One side of a comparison: what was called, and the measurements of each round.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) runs: Vec<Run>,
}

/// The result of a row.
#[derive(Debug)]
pub(crate) enum Finding {
    /// One figure per round, and the sides from which it is computed.
    Measured { rounds: Vec<f64>, parts: Vec<Part>, note: String },
    /// Why there is no result. No other figure is used in its place.
    NotMeasured(String),
}

/// All results.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) machine: Vec<(String, String)>,
    pub(crate) options: Options,
    pub(crate) rows: Vec<(&'static Row, Finding)>,
}

impl Part {
    fn rate(&self) -> Spread {
        Spread::over(self.runs.iter().map(|run| run.rate))
    }

    fn p50(&self) -> Spread {
        Spread::over(self.runs.iter().map(Run::p50_us))
    }

    fn p99(&self) -> Spread {
        Spread::over(self.runs.iter().map(Run::p99_us))
    }

    fn cpu(&self) -> Spread {
        Spread::over(self.runs.iter().map(Run::cpu_us))
    }

    fn json(&self) -> Value {
        let known = |spread: Spread| (!spread.median.is_nan()).then_some(spread);
        json!({
            "name": self.name, "per_second": known(self.rate()),
            "p50_us": known(self.p50()), "p99_us": known(self.p99()),
            "server_cpu_us": known(self.cpu()),
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.name)?;
        let (rate, p50, p99) = (self.rate(), self.p50(), self.p99());
        if !rate.median.is_nan() {
            write!(f, " {:.0}/s ({:.0} to {:.0})", rate.median, rate.min, rate.max)?;
        }
        if !p50.median.is_nan() {
            write!(f, ", p50 {:.0} us", p50.median)?;
        }
        if !p99.median.is_nan() {
            write!(f, ", p99 {:.0} us", p99.median)?;
        }
        let cpu = self.cpu();
        if !cpu.median.is_nan() {
            write!(f, "; the server works {:.1} us for each", cpu.median)?;
        }
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(figure) => write!(f, ">= {figure:.2}"),
            Self::AtMost(figure) => write!(f, "<= {figure:.2}"),
        }
    }
}

impl Report {
    /// All figures, for programs.
    pub(crate) fn json(&self) -> Result<String> {
        let rows: Vec<Value> = self.rows.iter().map(|(row, finding)| row_json(row, finding)).collect();
        let machine: serde_json::Map<String, Value> =
            self.machine.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        let options = json!({
            "rounds": self.options.rounds(), "seconds": self.options.length().measured.as_secs(),
            "threads": self.options.threads(), "quick": self.options.quick,
        });
        Ok(serde_json::to_string_pretty(&json!({ "machine": machine, "options": options, "rows": rows }))? + "\n")
    }
}

fn row_json(row: &Row, finding: &Finding) -> Value {
    let mut json = json!({
        "row": row.key, "what": row.what, "baseline": row.baseline, "unit": row.unit, "target": row.target.to_string(),
    });
    match finding {
        Finding::Measured { rounds, parts, note } => {
            let figure = Spread::over(rounds.iter().copied());
            json["figure"] = json!(figure);
            json["met"] = row.target.is_met_by(figure.median).into();
            json["rounds"] = json!(rounds);
            json["parts"] = parts.iter().map(Part::json).collect();
            json["note"] = note.as_str().into();
        }
        Finding::NotMeasured(why) => json["not_measured"] = why.as_str().into(),
    }
    json
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.machine {
            writeln!(f, "{name}: {value}")?;
        }
        let seconds = self.options.length().measured.as_secs();
        writeln!(
            f,
            "{} rounds of {seconds} s, sides interleaved; median (lowest to highest round)\n",
            self.options.rounds()
        )?;
        writeln!(f, "{:<14} {:>28} {:>10} {:>6}  what / against", "row", "figure", "target", "met")?;
        for (row, finding) in &self.rows {
            write_row(f, row, finding)?;
        }
        Ok(())
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, row: &Row, finding: &Finding) -> fmt::Result {
    match finding {
        Finding::Measured { rounds, parts, note } => {
            let Spread { median, min, max } = Spread::over(rounds.iter().copied());
            let figure = format!("{median:.2}{} ({min:.2} to {max:.2})", row.unit);
            let met = if row.target.is_met_by(median) { "yes" } else { "no" };
            let target = row.target.to_string();
            writeln!(f, "{:<14} {figure:>28} {target:>10} {met:>6}  {} / {}", row.key, row.what, row.baseline)?;
            for part in parts {
                writeln!(f, "{:>16}{part}", "")?;
            }
            if note.is_empty() { Ok(()) } else { writeln!(f, "{:>16}{note}", "") }
        }
        Finding::NotMeasured(why) => {
            let target = row.target.to_string();
            writeln!(
                f,
                "{:<14} {:>28} {target:>10} {:>6}  {} / {}",
                row.key, "not measured", "-", row.what, row.baseline
            )?;
            writeln!(f, "{:>16}{why}", "")
        }
    }
}
