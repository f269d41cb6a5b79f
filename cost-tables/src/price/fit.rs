//! Least squares with coefficients that are never negative.

/// Most terms of a model.
pub(super) const MAX_TERMS: usize = 4;

/// A term whose part that the others do not explain is smaller than this, relative, is left out.
const MIN_PIVOT: f64 = 1e-11;

/// Sums over observations from which coefficients follow: `G = Σ w·x·xᵀ`, `h = Σ w·x·y`.
#[derive(Default)]
pub(super) struct Observations {
    gram: [[f64; MAX_TERMS]; MAX_TERMS],
    moment: [f64; MAX_TERMS],
}

impl Observations {
    /// Adds one: terms `x`, outcome `y`, weight `w` of its squared error.
    pub(super) fn add(&mut self, x: [f64; MAX_TERMS], y: f64, w: f64) {
        for i in 0..MAX_TERMS {
            self.moment[i] += w * x[i] * y;
            for j in 0..MAX_TERMS {
                self.gram[i][j] += w * x[i] * x[j];
            }
        }
    }

    /// The coefficients `>= 0` of the first `n_terms` terms that leave the least squared error; others are 0.
    ///
    /// The best such fit is an ordinary one of some of the terms, so all subsets of the few terms are tried.
    pub(super) fn coefficients(&self, n_terms: usize) -> [f64; MAX_TERMS] {
        let mut best = ([0.0; MAX_TERMS], 0.0);
        for subset in 1..1_usize << n_terms {
            let Some(fit) = self.solve(subset) else { continue };
            let explained: f64 = fit.iter().zip(self.moment).map(|(x, h)| x * h).sum();
            if explained > best.1 && fit.iter().all(|&x| x >= 0.0) {
                best = (fit, explained);
            }
        }
        best.0
    }

    /// Solves `G x = h` for the terms in the bits of `subset` by Cholesky's factorisation; `None` if they depend
    /// on each other.
    fn solve(&self, subset: usize) -> Option<[f64; MAX_TERMS]> {
        let terms = || (0..MAX_TERMS).filter(|term| subset >> term & 1 == 1);
        let mut l = [[0.0; MAX_TERMS]; MAX_TERMS];
        let mut x = self.moment;
        for i in terms() {
            for j in terms().take_while(|&j| j <= i) {
                let known: f64 = terms().take_while(|&k| k < j).map(|k| l[i][k] * l[j][k]).sum();
                let rest = self.gram[i][j] - known;
                if i != j {
                    l[i][j] = rest / l[j][j];
                } else if rest > MIN_PIVOT * self.gram[i][i] {
                    l[i][i] = rest.sqrt();
                } else {
                    return None;
                }
            }
            let known: f64 = terms().take_while(|&k| k < i).map(|k| l[i][k] * x[k]).sum();
            x[i] = (x[i] - known) / l[i][i];
        }
        for i in (0..MAX_TERMS).rev() {
            if subset >> i & 1 == 0 {
                x[i] = 0.0;
                continue;
            }
            let known: f64 = terms().filter(|&k| k > i).map(|k| l[k][i] * x[k]).sum();
            x[i] = (x[i] - known) / l[i][i];
        }
        Some(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(points: &[(f64, f64)], cost: impl Fn(f64, f64) -> f64) -> [f64; MAX_TERMS] {
        let mut sums = Observations::default();
        for &(x, y) in points {
            sums.add([1.0, x, y, x * y], cost(x, y), 1.0);
        }
        sums.coefficients(MAX_TERMS)
    }

    fn close(a: [f64; MAX_TERMS], b: [f64; MAX_TERMS]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
    }

    const SQUARE: [(f64, f64); 5] = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (2.0, 3.0)];

    #[test]
    fn a_cost_of_the_model_gives_its_coefficients() {
        let found = fit(&SQUARE, |x, y| 2.0 + 3.0 * x + 5.0 * y + 7.0 * x * y);
        assert!(close(found, [2.0, 3.0, 5.0, 7.0]), "{found:?}");
        let found = fit(&SQUARE, |x, y| 7.0 * x * y);
        assert!(close(found, [0.0, 0.0, 0.0, 7.0]), "{found:?}");
    }

    #[test]
    fn no_coefficient_is_negative() {
        // Without the bound the second coefficient would be -1.
        let found = fit(&[(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)], |x, _| 3.0 - x);
        assert!(close(found, [2.0, 0.0, 0.0, 0.0]), "{found:?}");
    }

    #[test]
    fn terms_that_can_not_be_told_apart_are_left_out() {
        let found = fit(&[(1.0, 3.0), (1.0, 5.0)], |_, y| 1.0 + y);
        let at = |y: f64| found[0] + found[1] + (found[2] + found[3]) * y;
        assert!((at(4.0) - 5.0).abs() < 1e-9, "{found:?}");
    }
}
