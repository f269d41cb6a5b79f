//! The ways to train a supernet that are compared; each differs from [`Method::default`], the library's, in one idea.

use edgeslim::train::sandwich::{GRADIENT_SCALE, N_SUBNETS};

/// How a supernet is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Method {
    /// Subnets a step: the largest, from two on the smallest, from three on random ones.
    pub n_subnets: usize,
    /// How random subnets are drawn.
    pub sampling: Sampling,
    /// What the smaller subnets learn from.
    pub target: Target,
    /// Factor of the largest's gradient.
    pub largest_scale: f64,
    /// Factor of each other subnet's gradient.
    pub other_scale: f64,
    /// Largest norm of the summed gradients, all parameters together.
    pub clip: Option<f64>,
    /// Multiple of the recipe's learning rate.
    pub learning_rate: f64,
    /// Multiple of the recipe's weight decay.
    pub weight_decay: f64,
    /// Multiple of the recipe's batch.
    pub batch: f64,
    /// Of SGD.
    pub momentum: f64,
    /// Label smoothing of the largest.
    pub smoothing: f64,
    /// Dropout of the largest's features before the head.
    pub dropout: f64,
    /// Share of the averaged weights that stays at a step; the average is what is evaluated.
    pub average: Option<f64>,
    /// γ of the last batch norm of every residual branch at the start.
    pub last_gamma: f64,
    /// How long it is trained.
    pub length: Length,
}

/// How random subnets are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// Every unit any of its bins.
    Units,
    /// Every other time all units the same ratio.
    HalfUniform,
    /// Log-uniform in multiply-accumulates, units around a common ratio.
    LogMacs,
    /// The one with more multiply-accumulates of two.
    LargerOfTwo,
}

/// What the smaller subnets learn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// The largest's softmax.
    Largest,
    /// The largest's softmax and the labels, which get this share.
    Mixed(f64),
    /// The largest's softmax, by AlphaNet's divergence.
    Alpha,
}

/// How long a variant is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// As many multiply-accumulates as the baseline.
    SameTime,
    /// As many epochs as the baseline.
    SameEpochs,
}

impl Default for Method {
    fn default() -> Method {
        Method {
            n_subnets: N_SUBNETS,
            sampling: Sampling::Units,
            target: Target::Largest,
            largest_scale: GRADIENT_SCALE,
            other_scale: GRADIENT_SCALE,
            clip: None,
            learning_rate: 1.0,
            weight_decay: 1.0,
            batch: 1.0,
            momentum: 0.9,
            smoothing: 0.0,
            dropout: 0.0,
            average: None,
            last_gamma: 1.0,
            length: Length::SameTime,
        }
    }
}

impl Method {
    /// Whether only the largest is trained.
    pub fn is_plain(&self) -> bool {
        self.n_subnets == 1
    }
}

/// The name that others are compared with.
pub const BASELINE: &str = "baseline";

/// Every variant by name, the baseline first.
pub fn all() -> Vec<(&'static str, Method)> {
    let base = Method::default();
    let plain = Method { n_subnets: 1, largest_scale: 1.0, ..base };
    let scales = |largest_scale, other_scale| Method { largest_scale, other_scale, ..base };
    vec![
        (BASELINE, base),
        ("plain, equal epochs", Method { length: Length::SameEpochs, ..plain }),
        ("plain, equal time", plain),
        ("learning rate x0.25", Method { learning_rate: 0.25, ..base }),
        ("learning rate x0.5", Method { learning_rate: 0.5, ..base }),
        ("learning rate x2", Method { learning_rate: 2.0, ..base }),
        ("gradient scale 0.25", scales(0.25, 0.25)),
        ("gradient scale 1", scales(1.0, 1.0)),
        ("largest x2", scales(1.0, 0.5)),
        ("largest x3, others x0.5", scales(1.5, 0.25)),
        ("weight decay 0", Method { weight_decay: 0.0, ..base }),
        ("weight decay x0.2", Method { weight_decay: 0.2, ..base }),
        ("weight decay x4", Method { weight_decay: 4.0, ..base }),
        ("clip 1", Method { clip: Some(1.0), ..base }),
        ("clip 3", Method { clip: Some(3.0), ..base }),
        ("momentum 0.8", Method { momentum: 0.8, ..base }),
        ("momentum 0.95", Method { momentum: 0.95, ..base }),
        ("label smoothing 0.1", Method { smoothing: 0.1, ..base }),
        ("dropout 0.1", Method { dropout: 0.1, ..base }),
        ("2 subnets", Method { n_subnets: 2, ..base }),
        ("3 subnets", Method { n_subnets: 3, ..base }),
        ("6 subnets", Method { n_subnets: 6, ..base }),
        ("half uniform", Method { sampling: Sampling::HalfUniform, ..base }),
        ("log MACs", Method { sampling: Sampling::LogMacs, ..base }),
        ("larger of two", Method { sampling: Sampling::LargerOfTwo, ..base }),
        ("3 subnets, half labels", Method { n_subnets: 3, target: Target::Mixed(0.5), ..base }),
        ("half labels", Method { target: Target::Mixed(0.5), ..base }),
        ("alpha divergence", Method { target: Target::Alpha, ..base }),
        ("batch x0.5", Method { batch: 0.5, ..base }),
        ("batch x0.5, rate x0.5", Method { batch: 0.5, learning_rate: 0.5, ..base }),
        ("batch x2", Method { batch: 2.0, ..base }),
        ("average 0.98", Method { average: Some(0.98), ..base }),
        ("average 0.995", Method { average: Some(0.995), ..base }),
        ("zero last gamma", Method { last_gamma: 0.0, ..base }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_variants_share_a_name_or_a_method() {
        let all = all();
        assert_eq!(all[0], (BASELINE, Method::default()));
        for (i, (name, method)) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|(other, twin)| name != other && method != twin), "{name}");
        }
    }
}
