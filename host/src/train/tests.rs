//! What the tests of several steps share.

use crate::engine::{CandleEngine, Engine as _, Params};
use crate::network::{Activation, Conv, ConvKind, Graph, Kernel, Node, NodeOp, Shape, Unit};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::Optimizer;
use device_bench::Padding;

/// A 1×1 convolution to 2…6 channels and a head of two classes, on 2×2 images, with `n_switches` batch norms.
pub fn tiny_engine(n_switches: usize) -> CandleEngine {
    let conv = Conv {
        input: 0,
        kind: ConvKind::Dense,
        kernel: Kernel::square(1),
        stride: 1,
        padding: Padding::NONE,
        units: vec![0],
        activation: Activation::Relu,
    };
    let node = |name: &str, op| Node { name: name.into(), op };
    let graph = Graph {
        name: "tiny".into(),
        input: Shape { h: 2, w: 2, c: 1 },
        classes: 2,
        nodes: vec![
            node("image", NodeOp::Input),
            node("stem", NodeOp::Conv(conv)),
            node("head", NodeOp::Head { input: 1 }),
        ],
        units: vec![Unit { name: "stem".into(), full: 6, bins: vec![2, 4, 6] }],
    };
    let params = Params::switchable(&graph, n_switches, 3, &Device::Cpu, DType::F32).unwrap();
    CandleEngine::new(graph, params, Device::Cpu).unwrap()
}

/// Bright and dark images, told apart by their label.
pub fn batch() -> (Tensor, Tensor) {
    let n = 8;
    let pixels: Vec<f32> =
        (0..n * 4).map(|i| if (i / 4) % 2 == 0 { 1.0 } else { -1.0 } + (i % 3) as f32 * 0.1).collect();
    let labels: Vec<f32> = (0..n).flat_map(|i| if i % 2 == 0 { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
    let images = Tensor::from_vec(pixels, (n, 2, 2, 1), &Device::Cpu).unwrap();
    (images, Tensor::from_vec(labels, (n, 2), &Device::Cpu).unwrap())
}

/// Keeps the gradients that it is given, and moves nothing.
pub struct Recorder {
    vars: Vec<Var>,
    grads: Vec<Tensor>,
}

impl Recorder {
    /// For all parameters of an engine.
    pub fn of(engine: &CandleEngine) -> Recorder {
        Recorder { vars: engine.params().vars().into_iter().map(|(_, var)| var).collect(), grads: vec![] }
    }

    /// That of the last step.
    pub fn grad(&self, var: &Var) -> &Tensor {
        let place = self.vars.iter().position(|other| other.id() == var.id()).expect("a parameter");
        &self.grads[place]
    }
}

impl Optimizer for Recorder {
    type Config = ();

    fn new(vars: Vec<Var>, (): ()) -> Result<Recorder> {
        Ok(Recorder { vars, grads: vec![] })
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        let copy = |var: &Var| grads.get(var).expect("every parameter has a gradient").copy();
        self.grads = self.vars.iter().map(copy).collect::<Result<_>>()?;
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        0.0
    }

    fn set_learning_rate(&mut self, _: f64) {}
}
