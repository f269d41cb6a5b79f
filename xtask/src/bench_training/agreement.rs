//! Whether both sides compute the same step.

use super::side::Side;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Images of the step that is compared.
const BATCH: usize = 16;
/// Seeds of steps, of which one has to agree. A ReLU whose input float32 rounds to the other side of zero moves whole
/// gradients in one of them; another computation would differ in all.
const SEEDS: [u64; 4] = [1, 2, 3, 4];
const LIMIT: Duration = Duration::from_secs(300);

/// Largest relative difference between our float32 and PyTorch's float64.
pub const BOUNDS: [(&str, f64); 6] = [
    ("plain_loss", 1e-5),
    ("sandwich_loss", 1e-5),
    ("plain_gradient", 1e-2),
    ("sandwich_gradient", 1e-2),
    ("evaluate_statistics", 1e-4),
    ("evaluate_logits", 1e-4),
];

/// Relative differences by name.
pub type Differences = BTreeMap<String, f64>;

#[derive(Deserialize)]
struct Subnets {
    steps: Vec<Value>,
    evaluated: Value,
}

#[derive(Deserialize)]
struct Checked {
    differences: Differences,
}

/// Compares loss and gradients of a plain and a sandwich step, and an evaluation, on the network that `ours` has open.
/// Returns the differences of the first seed that agrees.
///
/// # Errors
/// If every seed has a difference beyond [`BOUNDS`]; the first one's.
pub fn check(ours: &mut Side, torch: &mut Side, description: &Value, dir: &Path) -> Result<Differences> {
    let mut first_problem = None;
    for seed in SEEDS {
        let differences = differences(ours, torch, description, dir, seed)?;
        match judge(&differences) {
            Ok(()) => return Ok(differences),
            Err(problem) => first_problem = first_problem.or(Some(problem)),
        }
    }
    Err(first_problem.context("no seed was tried")?)
}

fn differences(
    ours: &mut Side,
    torch: &mut Side,
    description: &Value,
    dir: &Path,
    seed: u64,
) -> Result<Differences> {
    let path = dir.join("step.safetensors");
    ours.ask::<Value>(&json!({ "request": "export", "path": path, "batch": BATCH, "seed": seed }), LIMIT)?;
    let Subnets { steps, evaluated } = ours.ask(&json!({ "request": "subnets", "seeds": [seed] }), LIMIT)?;
    let request = json!({
        "request": "check",
        "description": description,
        "path": path,
        "step": steps.first().context("no subnets of a seed")?,
        "evaluated": evaluated,
    });
    Ok(torch.ask::<Checked>(&request, LIMIT)?.differences)
}

fn judge(differences: &Differences) -> Result<()> {
    for (name, bound) in BOUNDS {
        let difference = differences.get(name).copied().unwrap_or(f64::NAN);
        // A difference that is not a number is none within the bound.
        if difference.is_nan() || difference > bound {
            bail!(
                "the two sides disagree: {name} differs by {difference:.1e} relative, at most {bound:.0e} is rounding; \
                 timings of different computations would say nothing"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(difference: f64) -> Differences {
        BOUNDS.iter().map(|(name, _)| ((*name).to_owned(), difference)).collect()
    }

    #[test]
    fn rounding_passes_and_another_computation_does_not() {
        assert!(judge(&all(1e-6)).is_ok());
        for (name, bound) in BOUNDS {
            for wrong in [2.0 * bound, f64::NAN] {
                let mut differences = all(0.0);
                differences.insert(name.to_owned(), wrong);
                assert!(judge(&differences).unwrap_err().to_string().contains(name));
            }
        }
    }

    #[test]
    fn a_difference_that_was_not_told_is_none_within_the_bound() {
        assert!(judge(&Differences::new()).is_err());
    }
}
