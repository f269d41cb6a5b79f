//! The functions between layers.

use serde::{Deserialize, Serialize};

/// What follows a sum, a batch norm or a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(0, x)`.
    Relu,
    /// `min(max(0, x), 6)`.
    Relu6,
    /// `x · hard_sigmoid(x)` (MobileNet v3, arXiv 1905.02244, section 5.2).
    HardSwish,
    /// `relu6(x + 3) / 6`.
    HardSigmoid,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

impl Activation {
    /// Every one of them.
    pub const ALL: [Activation; 6] = [
        Activation::None,
        Activation::Relu,
        Activation::Relu6,
        Activation::HardSwish,
        Activation::HardSigmoid,
        Activation::Sigmoid,
    ];

    /// As files write it.
    pub const fn name(self) -> &'static str {
        match self {
            Activation::None => "none",
            Activation::Relu => "relu",
            Activation::Relu6 => "relu6",
            Activation::HardSwish => "hard_swish",
            Activation::HardSigmoid => "hard_sigmoid",
            Activation::Sigmoid => "sigmoid",
        }
    }

    /// Whether int8 values are only moved into a range; all others are looked up.
    pub const fn is_clamp(self) -> bool {
        matches!(self, Activation::None | Activation::Relu | Activation::Relu6)
    }

    /// Its value at `x`, in the formulas of TensorFlow and PyTorch.
    pub fn apply(self, x: f32) -> f32 {
        let hard_sigmoid = |x: f32| (x + 3.0).clamp(0.0, 6.0) / 6.0;
        match self {
            Activation::None => x,
            Activation::Relu => x.max(0.0),
            Activation::Relu6 => x.clamp(0.0, 6.0),
            Activation::HardSwish => x * hard_sigmoid(x),
            Activation::HardSigmoid => hard_sigmoid(x),
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }
}
