//! The learning rate over a training.

/// A cosine from `peak` to zero over `n_steps`, after a linear warm-up over the first twentieth.
///
/// `step` counts from 0; the first step already moves.
pub fn cosine_with_warm_up(peak: f64, step: usize, n_steps: usize) -> f64 {
    let warm_up_steps = (n_steps / 20).max(1);
    let warm_up = ((step + 1) as f64 / warm_up_steps as f64).min(1.0);
    let done = (step as f64 / n_steps.max(1) as f64).min(1.0);
    peak * warm_up * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_to_its_peak_and_ends_near_zero() {
        let rates: Vec<f64> = (0..1000).map(|step| cosine_with_warm_up(0.2, step, 1000)).collect();
        let top = rates.iter().position(|&r| r == rates.iter().copied().fold(0.0, f64::max)).unwrap();
        assert!((40..60).contains(&top), "{top}");
        assert!(rates[0] > 0.0 && rates[0] < 0.01 && rates[top] <= 0.2 && rates[999] < 1e-5);
    }

    #[test]
    fn a_training_of_one_step_has_a_rate() {
        assert!(cosine_with_warm_up(0.1, 0, 1) > 0.0);
    }
}
