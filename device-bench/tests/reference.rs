//! Every operator against a reference written straight from the TFLite int8 specification, byte for byte; every
//! layer goes through a blob, so that folding, placement and reading in place are tested with it.

use device_bench::infer::{self, Phase};
use device_bench::kernels::{KernelSet, n_bias, n_requant, scratch_bytes};
use device_bench::model::{LayerDesc, Model, ModelDesc, Tensor, TensorRef, encode, encoded_len};
use device_bench::quant::{Clamp, Requant};
use device_bench::{LayerSpec, Op, Padding};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn within(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    /// Often one of the ends.
    fn int8(&mut self) -> i8 {
        match self.next() % 8 {
            0 => i8::MIN,
            1 => i8::MAX,
            _ => self.next() as i8,
        }
    }

    fn int8s(&mut self, len: usize) -> Vec<i8> {
        let extreme = self.next() % 8;
        let fixed = self.int8();
        (0..len).map(|_| if extreme == 0 { fixed } else { self.int8() }).collect()
    }
}

/// A layer that owns its numbers, in TFLite semantics.
struct Case {
    spec: LayerSpec,
    zeros: [i8; 3],
    clamp: Clamp,
    weights: Vec<i8>,
    bias: Vec<i32>,
    requant: Vec<Requant>,
    inputs: [Vec<i8>; 2],
}

fn random_spec(random: &mut Random, op: Op) -> LayerSpec {
    loop {
        let channels = random.within(1, 19) as u16;
        let point = matches!(op, Op::Linear | Op::Add) || random.next().is_multiple_of(4);
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
            c_in: channels,
            c_out: if matches!(op, Op::Conv | Op::Linear) { small(1, 11).into() } else { channels },
            kernel_h,
            kernel_w,
            stride: if matches!(op, Op::Linear | Op::Add) { 1 } else { small(1, 3) },
            padding,
        };
        if spec.check().is_ok() {
            return spec;
        }
    }
}

fn random_case(random: &mut Random, op: Op) -> Case {
    let spec = random_spec(random, op);
    let shift = |random: &mut Random| match (op, random.next() % 8) {
        (Op::Add, _) => random.within(-22, 0),
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
        if random.next().is_multiple_of(2) { (-128, 127) } else { (random.int8(), random.int8()) };
    Case {
        spec,
        zeros: [random.int8(), random.int8(), random.int8()],
        clamp: Clamp { min: low.min(high), max: low.max(high) },
        weights: random.int8s(spec.weight_bytes()),
        bias,
        requant,
        inputs: [random.int8s(spec.input_bytes()), random.int8s(spec.input_bytes())],
    }
}

/// `MultiplyByQuantizedMultiplier`, in exact 128-bit arithmetic with C's truncating division.
fn multiply(x: i64, requant: Requant) -> i64 {
    let left = requant.shift.max(0);
    let product = i128::from(x) * (1i128 << left) * i128::from(requant.multiplier);
    let nudge = if product >= 0 { 1i128 << 30 } else { 1 - (1i128 << 30) };
    let high = ((product + nudge) / (1i128 << 31)) as i64;
    let right = (-requant.shift).max(0);
    let divisor = 1i64 << right;
    let magnitude = if right == 0 { high.abs() } else { (high.abs() + divisor / 2) / divisor };
    magnitude * high.signum()
}

impl Case {
    fn expected(&self) -> Vec<i8> {
        let (h, w, c) = (self.spec.out_h(), self.spec.out_w(), self.spec.c_out);
        let mut output = Vec::new();
        for y in 0..i64::from(h) {
            for x in 0..i64::from(w) {
                output.extend((0..usize::from(c)).map(|c| self.output_at(y, x, c)));
            }
        }
        output
    }

    fn output_at(&self, y: i64, x: i64, c: usize) -> i8 {
        let value = match self.spec.op {
            Op::Conv | Op::Depthwise => self.scaled(self.conv(y, x, c), c),
            Op::Linear => self.scaled(self.linear(c), c),
            Op::AvgPool => self.mean(y, x, c),
            Op::MaxPool => self.window(y, x, c).into_iter().max().expect("windows are never empty"),
            Op::Add => {
                self.sum((y as usize * self.spec.in_w as usize + x as usize) * self.spec.c_in as usize + c)
            }
        };
        value.clamp(i64::from(self.clamp.min), i64::from(self.clamp.max)) as i8
    }

    fn scaled(&self, acc: i64, c: usize) -> i64 {
        multiply(acc + i64::from(self.bias[c]), self.requant[c]) + i64::from(self.zeros[2])
    }

    /// The input at padded position `(y, x)`, `None` in the padding.
    fn at(&self, y: i64, x: i64, c: usize) -> Option<i64> {
        let s = &self.spec;
        let (y, x) = (y - i64::from(s.padding.top), x - i64::from(s.padding.left));
        let inside = y >= 0 && y < i64::from(s.in_h) && x >= 0 && x < i64::from(s.in_w);
        let index = (y * i64::from(s.in_w) + x) * i64::from(s.c_in) + c as i64;
        inside.then(|| i64::from(self.inputs[0][index as usize]))
    }

    fn conv(&self, y: i64, x: i64, c: usize) -> i64 {
        let s = &self.spec;
        let (kw, c_in, stride) = (usize::from(s.kernel_w), usize::from(s.c_in), i64::from(s.stride));
        let depthwise = s.op == Op::Depthwise;
        let mut acc = 0;
        for ci in if depthwise { c..c + 1 } else { 0..c_in } {
            for ky in 0..usize::from(s.kernel_h) {
                for kx in 0..kw {
                    let tap = if depthwise {
                        (ky * kw + kx) * c_in + c
                    } else {
                        ((c * usize::from(s.kernel_h) + ky) * kw + kx) * c_in + ci
                    };
                    let input = self.at(y * stride + ky as i64, x * stride + kx as i64, ci);
                    acc += input.map_or(0, |v| v - i64::from(self.zeros[0])) * i64::from(self.weights[tap]);
                }
            }
        }
        acc
    }

    fn linear(&self, c: usize) -> i64 {
        let n = self.inputs[0].len();
        (0..n)
            .map(|i| {
                (i64::from(self.inputs[0][i]) - i64::from(self.zeros[0])) * i64::from(self.weights[c * n + i])
            })
            .sum()
    }

    fn window(&self, y: i64, x: i64, c: usize) -> Vec<i64> {
        let (s, stride) = (&self.spec, i64::from(self.spec.stride));
        let rows = (0..i64::from(s.kernel_h)).map(|ky| y * stride + ky);
        rows.flat_map(|y| (0..i64::from(s.kernel_w)).map(move |kx| (y, x * stride + kx)))
            .filter_map(|(y, x)| self.at(y, x, c))
            .collect()
    }

    fn mean(&self, y: i64, x: i64, c: usize) -> i64 {
        let window = self.window(y, x, c);
        let (sum, n) = (window.iter().sum::<i64>(), window.len() as i64);
        sum.signum() * ((sum.abs() + n / 2) / n)
    }

    fn sum(&self, i: usize) -> i64 {
        let scaled = |k: usize| {
            multiply((i64::from(self.inputs[k][i]) - i64::from(self.zeros[k])) << 20, self.requant[k])
        };
        multiply(scaled(0) + scaled(1), self.requant[2]) + i64::from(self.zeros[2])
    }

    /// The layer as a model of its own; words, so that it is aligned.
    fn blob(&self) -> Vec<u32> {
        let up = |n: usize| n.next_multiple_of(4) as u32;
        let second = up(self.spec.input_bytes());
        let output = if self.spec.op == Op::Add { 2 * second } else { second };
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
            input: tensor(0, self.spec.input_bytes() as u32, zero_a),
            output: tensor(output, self.spec.output_bytes() as u32, zero_out),
            layers: &layers,
        };
        let mut blob = vec![0; encoded_len(&model).div_ceil(4)];
        encode(&model, bytes_mut(&mut blob)).expect("the case is a valid model");
        blob
    }

    fn run(&self, blob: &[u32], set: KernelSet) -> Vec<i8> {
        let model = Model::parse(bytes(blob)).expect("encode checked it");
        let mut arena = vec![0u32; model.arena_bytes().div_ceil(4)];
        let arena = bytes_mut(&mut arena);
        infer::input_mut(&model, arena).expect("it fits").copy_from_slice(&self.inputs[0]);
        if self.spec.op == Op::Add {
            let second = self.spec.input_bytes().next_multiple_of(4);
            for (target, &x) in arena[second..].iter_mut().zip(&self.inputs[1]) {
                *target = x as u8;
            }
        }
        let mut phases = Vec::new();
        infer::run(&model, set, arena, &mut |i, phase| phases.push((i, phase))).expect("a parsed model runs");
        assert_eq!(phases, [(0, Phase::Before), (0, Phase::After)]);
        infer::output(&model, arena).expect("it fits").to_vec()
    }
}

fn bytes(words: &[u32]) -> &[u8] {
    // SAFETY: any word is four bytes.
    unsafe { words.align_to().1 }
}

fn bytes_mut(words: &mut [u32]) -> &mut [u8] {
    // SAFETY: any word is four bytes, and any four bytes a word.
    unsafe { words.align_to_mut().1 }
}

#[test]
fn every_operator_equals_the_reference_on_random_layers_in_every_kernel_set() {
    let mut random = Random(1);
    for i in 0..1_500 {
        for op in Op::ALL {
            let case = random_case(&mut random, op);
            let (blob, expected) = (case.blob(), case.expected());
            for set in [KernelSet::Portable, KernelSet::Dsp] {
                assert_eq!(case.run(&blob, set), expected, "case {i}: {} in {}", case.spec, set.name());
            }
        }
    }
}

#[test]
fn damaged_and_cut_blobs_are_refused() {
    let mut random = Random(2);
    for op in Op::ALL {
        let blob = random_case(&mut random, op).blob();
        for _ in 0..200 {
            let mut damaged = blob.clone();
            let at = random.next() as usize % (damaged.len() * 4);
            bytes_mut(&mut damaged)[at] ^= 1 << (random.next() % 8);
            assert!(Model::parse(bytes(&damaged)).is_err(), "{op:?}: byte {at}");
            assert!(Model::parse(&bytes(&blob)[..at]).is_err(), "{op:?}: {at} bytes");
        }
    }
}

/// The checksum is made right again, so that the checks behind it are reached.
#[test]
fn any_blob_that_parses_runs() {
    let mut random = Random(3);
    let mut n_ran = 0;
    for i in 0..20_000 {
        let mut blob = random_case(&mut random, Op::ALL[i % 6]).blob();
        let data = bytes_mut(&mut blob);
        for _ in 0..random.within(1, 3) {
            let at = 16 + random.next() as usize % (data.len() - 16).min(112);
            data[at] = random.next() as u8;
        }
        let crc = device_bench::model::crc32(&data[16..]);
        data[12..16].copy_from_slice(&crc.to_le_bytes());
        let Ok(model) = Model::parse(data) else { continue };
        if model.arena_bytes() > 1 << 20 {
            continue;
        }
        let mut arena = vec![0u32; model.arena_bytes().div_ceil(4)];
        let set = if i % 2 == 0 { KernelSet::Portable } else { KernelSet::Dsp };
        infer::run(&model, set, bytes_mut(&mut arena), &mut |_, _| {}).expect("a parsed model runs");
        n_ran += 1;
    }
    assert!(n_ran > 1_000, "only {n_ran} damaged blobs were still valid");
}
