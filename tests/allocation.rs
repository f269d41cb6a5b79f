//! A warm training step takes no memory from the allocator but for the tensors that Candle's interface asks for: their
//! number does not depend on the batch, and none is as large as an activation.

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use candle_nn::Optimizer as _;
use edgeslim::engine::{CpuEngine, Engine, Mode, Params};
use edgeslim::network::zoo::{ZooOptions, network};
use edgeslim::network::{Channels, Graph, Shape};
use edgeslim::train::sandwich::random_subnet;
use edgeslim::train::{NesterovSgd, SgdParams};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static COUNT: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
/// One test at a time counts.
static ALONE: Mutex<()> = Mutex::new(());

/// The system's allocator, counting what all threads ask it for.
struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        BYTES.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Taken {
    count: usize,
    bytes: usize,
}

fn counted<T>(run: impl FnOnce() -> T) -> (T, Taken) {
    let before = (COUNT.load(Relaxed), BYTES.load(Relaxed));
    let result = run();
    (result, Taken { count: COUNT.load(Relaxed) - before.0, bytes: BYTES.load(Relaxed) - before.1 })
}

/// What the calls of a step took: the least of its repetitions, as other threads of the test may ask for memory too.
#[derive(Debug, Clone, Copy)]
struct Step {
    logits: Taken,
    backward: Taken,
    gradients: Taken,
    optimiser: Taken,
}

struct Network {
    engine: CpuEngine,
    sgd: NesterovSgd,
}

fn open(name: &str, threads: usize) -> Network {
    let shape = Shape { h: 16, w: 16, c: 3 };
    let graph = network(name, shape, CLASSES, ZooOptions::default()).unwrap();
    let params = Params::new(&graph, 1, &Device::Cpu).unwrap();
    let sgd = SgdParams { learning_rate: 1e-3, momentum: 0.9, weight_decay: 1e-4 };
    let sgd = NesterovSgd::for_network(&params, sgd);
    Network { engine: CpuEngine::new(graph, params, threads).unwrap(), sgd }
}

const CLASSES: usize = 10;

impl Network {
    fn graph(&self) -> &Graph {
        self.engine.graph()
    }

    fn subnets(&self) -> [Channels; 3] {
        let random = random_subnet(self.graph(), &mut ChaCha8Rng::seed_from_u64(3));
        [self.graph().widest(), self.graph().smallest(), random]
    }

    fn step(&mut self, images: &Tensor, channels: &Channels) -> Step {
        let (result, logits) = counted(|| self.engine.logits(images, channels, Mode::Train));
        let result = result.unwrap();
        let (_, backward) = counted(|| result.backward().unwrap());
        let mut store = GradStore::default();
        let ((), gradients) = counted(|| self.engine.take_grads(&mut store).unwrap());
        let ((), optimiser) = counted(|| self.sgd.step(&store).unwrap());
        Step { logits, backward, gradients, optimiser }
    }

    /// A step of each of the subnets, once all buffers have grown.
    fn warm_steps(&mut self, n: usize) -> Vec<Step> {
        let (images, subnets) = (images(self.graph(), n), self.subnets());
        for _ in 0..WARM_UP {
            for channels in &subnets {
                self.step(&images, channels);
            }
        }
        let least = |channels: &Channels| {
            let steps: Vec<Step> = (0..REPEATS).map(|_| self.step(&images, channels)).collect();
            let least = |of: fn(&Step) -> Taken| steps.iter().map(of).min().unwrap();
            Step {
                logits: least(|s| s.logits),
                backward: least(|s| s.backward),
                gradients: least(|s| s.gradients),
                optimiser: least(|s| s.optimiser),
            }
        };
        subnets.iter().map(least).collect()
    }

    fn warm_evaluations(&mut self, n: usize) -> Vec<Taken> {
        let images = images(self.graph(), n);
        let evaluation = |channels: &Channels| {
            self.engine.reset_statistics();
            self.engine.logits(&images, channels, Mode::Calibrate).unwrap();
            let once = |_| counted(|| self.engine.logits(&images, channels, Mode::Evaluate).unwrap()).1;
            (0..WARM_UP + REPEATS).map(once).min().unwrap()
        };
        self.subnets().iter().map(evaluation).collect()
    }
}

const WARM_UP: usize = 2;
const REPEATS: usize = 3;
/// Images of a batch.
const BATCHES: [usize; 2] = [4, 8];

fn images(graph: &Graph, n: usize) -> Tensor {
    let Shape { h, w, c } = graph.input;
    let pixels: Vec<f32> = (0..n * h * w * c).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    Tensor::from_vec(pixels, (n, h, w, c), &Device::Cpu).unwrap()
}

/// Calls `check` with every network on one and on two threads.
fn with_networks(mut check: impl FnMut(&str, Network)) {
    let _alone = ALONE.lock().unwrap();
    for name in ["mobilenet-v1", "resnet-8", "mobilenet-v2"] {
        for threads in [1, 2] {
            check(&format!("{name}, {threads} threads"), open(name, threads));
        }
    }
}

/// At most `count` allocations, and besides as many values as the logits have at most `bytes`, of the larger batch;
/// the same number for all.
fn assert_bounded(what: &str, taken: [&[Taken]; 2], count: usize, bytes: usize, has_logits: bool) {
    let [small, large] = taken;
    for (small, large) in small.iter().zip(large) {
        let logits = BATCHES.map(|n| if has_logits { n * CLASSES * size_of::<f32>() } else { 0 });
        assert!(large.count <= count && large.bytes - logits[1] <= bytes, "{what}: {large:?}");
        let [small_bytes, large_bytes] = [small.bytes - logits[0], large.bytes - logits[1]];
        assert_eq!((small.count, small_bytes), (large.count, large_bytes), "{what}: small and large batch");
    }
}

#[test]
fn a_warm_step_takes_only_small_lists_and_a_tensor_of_logits_whatever_the_batch() {
    with_networks(|what, mut net| {
        let n_vars = net.engine.params().vars().len();
        let steps = BATCHES.map(|n| net.warm_steps(n));
        let of =
            |of: fn(&Step) -> Taken| steps.each_ref().map(|steps| steps.iter().map(of).collect::<Vec<_>>());
        let check = |call: &str, taken: [Vec<Taken>; 2], count, bytes, has_logits| {
            assert_bounded(&format!("{what}, {call}"), [&taken[0], &taken[1]], count, bytes, has_logits);
        };
        // Forward: the images without their history, the operator, the logits, and two lists of the parameters.
        check("logits", of(|s| s.logits), 10, 1024 + 48 * n_vars, true);
        // Backward: Candle's sorted graph and its gradient of the logits, the same two lists, and one small one a
        // parameter whose gradient is taken back.
        check("backward", of(|s| s.backward), 14 + n_vars, 2048 + 128 * n_vars, true);
        // Gradients: Candle's map, which grows, and what its tensors are made of; never their values.
        check("take_grads", of(|s| s.gradients), 10 + n_vars, 1024 + 160 * n_vars, false);
        // Optimiser: two in-place operators a parameter.
        check("optimiser", of(|s| s.optimiser), 4 * n_vars, 160 * n_vars, false);
    });
}

#[test]
fn a_warm_evaluation_takes_only_small_lists_and_a_tensor_of_logits_whatever_the_batch() {
    with_networks(|what, mut net| {
        let bytes = 1024 + 48 * net.engine.params().vars().len();
        let taken = BATCHES.map(|n| net.warm_evaluations(n));
        assert_bounded(what, [&taken[0], &taken[1]], 14, bytes, true);
    });
}
