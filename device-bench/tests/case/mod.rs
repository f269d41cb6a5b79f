//! Random layers, each a model of its own; shared with the tests that run them on a board.

use device_bench::infer::{self, Phase};
use device_bench::kernels::{KernelSet, n_bias, n_requant, scratch_bytes};
use device_bench::model::{LayerDesc, Model, ModelDesc, Tensor, TensorRef, encode, encoded_len};
use device_bench::quant::{Clamp, Requant};
use device_bench::{LayerSpec, Op, Padding};

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn within(&mut self, low: i64, high: i64) -> i64 {
        low + (self.bits() % (high - low + 1) as u64) as i64
    }

    /// Often one of the ends.
    pub fn int8(&mut self) -> i8 {
        match self.bits() % 8 {
            0 => i8::MIN,
            1 => i8::MAX,
            _ => self.bits() as i8,
        }
    }

    pub fn int8s(&mut self, len: usize) -> Vec<i8> {
        let extreme = self.bits() % 8;
        let fixed = self.int8();
        (0..len).map(|_| if extreme == 0 { fixed } else { self.int8() }).collect()
    }
}

/// A layer that owns its numbers, in TFLite semantics.
pub struct Case {
    pub spec: LayerSpec,
    pub zeros: [i8; 3],
    pub clamp: Clamp,
    pub weights: Vec<i8>,
    pub bias: Vec<i32>,
    pub requant: Vec<Requant>,
    pub inputs: [Vec<i8>; 2],
}

pub fn random_spec(random: &mut Random, op: Op) -> LayerSpec {
    loop {
        let channels = random.within(1, 19) as u16;
        let point = !op.has_window() || random.bits().is_multiple_of(4);
        let groups = if op == Op::GroupedConv { random.within(2, 5) as u16 } else { 1 };
        let mut small = |low, high| random.within(low, high) as u8;
        let (kernel_h, kernel_w) = if point { (1, 1) } else { (small(1, 5), small(1, 5)) };
        let padding = Padding {
            top: small(0, i64::from(kernel_h) - 1),
            bottom: small(0, i64::from(kernel_h) - 1),
            left: small(0, i64::from(kernel_w) - 1),
            right: small(0, i64::from(kernel_w) - 1),
        };
        let spec = LayerSpec {
            op,
            in_h: small(1, 8).into(),
            in_w: small(1, 8).into(),
            c_in: channels.next_multiple_of(groups),
            c_out: match op {
                Op::Conv | Op::Linear => small(1, 11).into(),
                Op::GroupedConv => groups * u16::from(small(1, 6)),
                Op::Concat => channels + u16::from(small(1, 11)),
                Op::Select => small(1, 19).into(),
                _ => channels,
            },
            kernel_h,
            kernel_w,
            stride: if op.has_window() { small(1, 3) } else { 1 },
            groups,
            padding,
        };
        if spec.check().is_ok() {
            return spec;
        }
    }
}

/// Shapes that the random ones are too small for: patches and inputs in pieces, planes in strips, and planes that are too wide
/// for them, rows that end within groups of pixels.
pub fn large_specs() -> Vec<LayerSpec> {
    let conv = |h, w, c_in, c_out, kernel, stride| {
        LayerSpec::conv(h, w, c_in, c_out, kernel, stride, Padding::all(kernel / 2))
    };
    let depthwise = |h, w, channels, kernel, stride, padding| {
        LayerSpec::depthwise(h, w, channels, kernel, stride, Padding::all(padding))
    };
    let beside =
        |spec: LayerSpec| LayerSpec { padding: Padding { bottom: 1, right: 1, ..Padding::NONE }, ..spec };
    vec![
        conv(5, 7, 64, 6, 3, 1),
        conv(4, 5, 96, 5, 3, 1),
        conv(3, 5, 128, 7, 3, 1),
        conv(3, 4, 129, 3, 3, 2),
        conv(5, 3, 70, 131, 3, 1),
        conv(4, 3, 157, 3, 3, 1),
        conv(3, 3, 250, 2, 3, 1),
        LayerSpec { kernel_h: 1, padding: Padding { left: 1, ..Padding::NONE }, ..conv(2, 3, 1001, 2, 3, 1) },
        conv(2, 3, 1500, 4, 1, 1),
        conv(1, 1, 900, 9, 1, 1),
        conv(1, 3, 12, 5, 3, 1),
        conv(33, 30, 3, 8, 3, 2),
        conv(12, 13, 5, 4, 7, 1),
        conv(9, 21, 8, 6, 5, 1),
        beside(conv(16, 16, 4, 9, 3, 2)),
        LayerSpec { kernel_h: 10, kernel_w: 4, ..conv(49, 10, 1, 12, 3, 2) },
        LayerSpec::linear(1500, 9),
        LayerSpec::linear(2100, 20),
        LayerSpec::linear(4500, 11),
        LayerSpec::linear(600, 530),
        depthwise(48, 48, 8, 3, 1, 1),
        depthwise(47, 30, 6, 3, 2, 1),
        depthwise(30, 61, 5, 3, 1, 1),
        depthwise(9, 100, 4, 3, 1, 1),
        depthwise(20, 110, 7, 3, 2, 1),
        depthwise(7, 140, 4, 3, 1, 1),
        depthwise(6, 9, 13, 3, 1, 2),
        depthwise(30, 31, 3, 3, 1, 1),
        depthwise(33, 48, 2, 3, 2, 1),
        depthwise(9, 3, 1, 3, 1, 1),
        depthwise(9, 2, 1, 3, 1, 1),
        depthwise(8, 9, 9, 3, 1, 0),
        depthwise(11, 8, 12, 5, 1, 2),
        depthwise(10, 10, 6, 7, 2, 3),
        depthwise(2, 3, 2050, 5, 1, 2),
        beside(depthwise(24, 24, 10, 3, 2, 0)),
        LayerSpec::global_avg_pool(20, 20, 6),
        LayerSpec::global_avg_pool(25, 5, 64),
        LayerSpec { op: Op::MaxPool, ..depthwise(20, 20, 18, 3, 2, 1) },
        LayerSpec::add(20, 20, 11),
        conv(28, 28, 60, 24, 1, 1).grouped(3),
        conv(20, 19, 32, 48, 3, 1).grouped(4),
        conv(21, 30, 36, 18, 5, 2).grouped(3),
        conv(6, 5, 280, 20, 3, 1).grouped(2),
        beside(conv(90, 90, 8, 4, 3, 2)).grouped(2),
        LayerSpec { stride: 4, ..conv(40, 33, 16, 12, 1, 1) }.grouped(4),
        LayerSpec::concat(20, 20, 13, 40),
        LayerSpec::select(20, 20, 48, 24),
        LayerSpec::scale(20, 20, 33),
        LayerSpec::lookup(20, 20, 33),
    ]
}

pub fn random_case(random: &mut Random, op: Op) -> Case {
    let spec = random_spec(random, op);
    random_case_of(random, spec)
}

pub fn random_case_of(random: &mut Random, spec: LayerSpec) -> Case {
    let shift = |random: &mut Random| match (spec.op, random.bits() % 8) {
        (Op::Add, _) => random.within(-22, 0),
        (Op::Scale, _) => random.within(-12, 2),
        (_, 0) => random.within(-31, 2),
        _ => random.within(-13, -5),
    };
    let requant = (0..n_requant(&spec)).map(|_| Requant {
        multiplier: random.within(1 << 30, (1 << 31) - 1) as i32,
        shift: shift(random) as i32,
    });
    let requant = requant.collect();
    let bias = (0..n_bias(&spec)).map(|_| random.within(-60_000, 60_000) as i32).collect();
    let (low, high) =
        if random.bits().is_multiple_of(2) { (-128, 127) } else { (random.int8(), random.int8()) };
    let mut case = Case {
        spec,
        zeros: [random.int8(), random.int8(), random.int8()],
        clamp: Clamp { min: low.min(high), max: low.max(high) },
        weights: weights(random, &spec),
        bias,
        requant,
        inputs: [spec.input_bytes(), spec.second_input_bytes().max(spec.input_bytes())]
            .map(|len| random.int8s(len)),
    };
    case.inputs[1].truncate(spec.second_input_bytes());
    case
}

/// Entries of a selection's table lie within its channels, weights are symmetric.
fn weights(random: &mut Random, spec: &LayerSpec) -> Vec<i8> {
    if spec.op == Op::Select {
        let channels = (0..spec.c_out).map(|_| random.within(0, i64::from(spec.c_in) - 1) as u16);
        return channels.flat_map(|channel| channel.to_le_bytes().map(|byte| byte as i8)).collect();
    }
    random.int8s(spec.weight_bytes()).into_iter().map(|w| w.max(-127)).collect()
}

/// Every product as large as it can be, and of one sign: sums of a pair of channels do not fit where there are many.
pub fn extreme_case_of(random: &mut Random, spec: LayerSpec) -> Case {
    let mut case = random_case_of(random, spec);
    if matches!(spec.op, Op::Select | Op::Lookup) {
        return case;
    }
    for requant in case.requant.iter_mut().filter(|_| spec.op != Op::Add) {
        requant.shift = random.within(-18, -9) as i32;
    }
    case.weights.iter_mut().enumerate().for_each(|(i, w)| *w = if i % 7 == 0 { -127 } else { 127 });
    case.inputs[0].fill(i8::MIN);
    case
}

impl Case {
    /// The input of [`Case::blob`]: both tensors where there are two, the second one aligned.
    pub fn input(&self) -> Vec<i8> {
        let mut input = self.inputs[0].clone();
        if !self.inputs[1].is_empty() {
            input.resize(input.len().next_multiple_of(4), 0);
            input.extend(&self.inputs[1]);
        }
        input
    }

    /// The layer as a model of its own; words, so that it is aligned.
    pub fn blob(&self) -> Vec<u32> {
        let up = |n: usize| n.next_multiple_of(4) as u32;
        let second = up(self.spec.input_bytes());
        let output = second + up(self.spec.second_input_bytes());
        let scratch = output + up(self.spec.output_bytes());
        let [zero_a, zero_b, zero_out] = self.zeros;
        let layers = [LayerDesc {
            spec: self.spec,
            inputs: [
                TensorRef { offset: 0, zero_point: zero_a },
                TensorRef { offset: second, zero_point: zero_b },
            ],
            output: TensorRef { offset: output, zero_point: zero_out },
            scratch,
            clamp: self.clamp,
            weights: &self.weights,
            bias: &self.bias,
            requant: &self.requant,
        }];
        let tensor = |offset, len, zero_point| Tensor { offset, len, zero_point, scale_bits: 0 };
        let model = ModelDesc {
            arena_bytes: scratch + up(scratch_bytes(&self.spec)),
            input: tensor(0, self.input().len() as u32, zero_a),
            output: tensor(output, self.spec.output_bytes() as u32, zero_out),
            layers: &layers,
        };
        let mut blob = vec![0; encoded_len(&model).div_ceil(4)];
        encode(&model, bytes_mut(&mut blob)).expect("the case is a valid model");
        blob
    }

    pub fn run(&self, blob: &[u32], set: KernelSet) -> Vec<i8> {
        let model = Model::parse(bytes(blob)).expect("encode checked it");
        let mut arena = vec![0u32; model.arena_bytes().div_ceil(4)];
        let arena = bytes_mut(&mut arena);
        infer::input_mut(&model, arena).expect("it fits").copy_from_slice(&self.input());
        let mut phases = Vec::new();
        infer::run(&model, set, arena, &mut |i, phase| phases.push((i, phase))).expect("a parsed model runs");
        assert_eq!(phases, [(0, Phase::Before), (0, Phase::After)]);
        infer::output(&model, arena).expect("it fits").to_vec()
    }
}

pub fn bytes(words: &[u32]) -> &[u8] {
    // SAFETY: any word is four bytes.
    unsafe { words.align_to().1 }
}

pub fn bytes_mut(words: &mut [u32]) -> &mut [u8] {
    // SAFETY: any word is four bytes, and any four bytes a word.
    unsafe { words.align_to_mut().1 }
}
