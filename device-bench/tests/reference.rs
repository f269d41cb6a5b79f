//! Every operator against a reference written straight from the TFLite int8 specification, byte for byte; every
//! layer goes through a blob, so that folding, placement and reading in place are tested with it.

mod case;

use case::Case;
use case::{Random, bytes, bytes_mut, extreme_case_of, large_specs, random_case, random_case_of};
use device_bench::infer;
use device_bench::kernels::{KernelSet, scratch_bytes};
use device_bench::model::Model;
use device_bench::quant::{Clamp, Requant};
use device_bench::{LayerSpec, Op, Padding};

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
            Op::Conv | Op::Depthwise | Op::GroupedConv => self.scaled(self.conv(y, x, c), c),
            Op::Linear => self.scaled(self.linear(c), c),
            Op::AvgPool => self.mean(y, x, c),
            Op::MaxPool => self.window(y, x, c).into_iter().max().expect("windows are never empty"),
            Op::Add => self.sum(self.pixel(y, x) * usize::from(self.spec.c_in) + c),
            Op::Concat => self.part(self.pixel(y, x), c),
            Op::Select => {
                i64::from(self.inputs[0][self.pixel(y, x) * usize::from(self.spec.c_in) + self.entry(c)])
            }
            Op::Scale => self.product(self.pixel(y, x), c),
            Op::Lookup => {
                let value = self.inputs[0][self.pixel(y, x) * usize::from(self.spec.c_in) + c];
                i64::from(self.weights[value as u8 as usize])
            }
        };
        value.clamp(i64::from(self.clamp.min), i64::from(self.clamp.max)) as i8
    }

    fn pixel(&self, y: i64, x: i64) -> usize {
        y as usize * usize::from(self.spec.in_w) + x as usize
    }

    fn part(&self, pixel: usize, c: usize) -> i64 {
        let first = usize::from(self.spec.c_in);
        let (input, c, channels) = match c.checked_sub(first) {
            None => (0, c, first),
            Some(c) => (1, c, usize::from(self.spec.c_out) - first),
        };
        i64::from(self.inputs[input][pixel * channels + c])
    }

    fn entry(&self, c: usize) -> usize {
        self.weights[2 * c] as u8 as usize + 256 * self.weights[2 * c + 1] as u8 as usize
    }

    fn product(&self, pixel: usize, c: usize) -> i64 {
        let [x, gate] = [self.inputs[0][pixel * usize::from(self.spec.c_in) + c], self.inputs[1][c]];
        let product =
            (i64::from(x) - i64::from(self.zeros[0])) * (i64::from(gate) - i64::from(self.zeros[1]));
        multiply(product, self.requant[0]) + i64::from(self.zeros[2])
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
        // Channels that an output sees, and the first of them.
        let (seen, first) = match s.op {
            Op::Depthwise => (1, c),
            _ => {
                let [seen, group] = [c_in, usize::from(s.c_out)].map(|n| n / usize::from(s.groups));
                (seen, c / group * seen)
            }
        };
        let mut acc = 0;
        for ci in 0..seen {
            for ky in 0..usize::from(s.kernel_h) {
                for kx in 0..kw {
                    let tap = if depthwise {
                        (ky * kw + kx) * c_in + c
                    } else {
                        ((c * usize::from(s.kernel_h) + ky) * kw + kx) * seen + ci
                    };
                    let input = self.at(y * stride + ky as i64, x * stride + kx as i64, first + ci);
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
}

/// `n`, or what is enough under Miri, which is some thousand times slower.
fn most(n: usize, under_miri: usize) -> usize {
    if cfg!(miri) { under_miri } else { n }
}

#[test]
fn every_operator_equals_the_reference_on_random_layers_in_every_kernel_set() {
    let mut random = Random(1);
    for i in 0..most(1_500, 6) {
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
fn large_layers_equal_the_reference_whatever_their_weights() {
    let mut random = Random(4);
    for spec in large_specs().into_iter().filter(|spec| spec.macs() < most(usize::MAX, 9_000) as u64) {
        for case in [random_case_of(&mut random, spec), extreme_case_of(&mut random, spec)] {
            let (blob, expected) = (case.blob(), case.expected());
            for set in [KernelSet::Portable, KernelSet::Dsp] {
                assert!(case.run(&blob, set) == expected, "{spec} in {}", set.name());
            }
        }
    }
}

/// Timing gives a selection any bytes for a table.
#[test]
fn an_entry_of_a_selection_beyond_the_last_channel_means_the_last() {
    let mut case = random_case_of(&mut Random(5), LayerSpec::select(3, 3, 5, 2));
    case.clamp = Clamp::FULL;
    case.weights = vec![4, 0, -1, -1];
    let (blob, wanted) = (case.blob(), case.inputs[0].iter().skip(4).step_by(5));
    let wanted: Vec<i8> = wanted.flat_map(|&x| [x, x]).collect();
    assert_eq!(case.run(&blob, KernelSet::Portable), wanted);
}

#[test]
fn no_layer_takes_more_than_8_kib_of_scratch_and_one_in_groups_4_more() {
    let channels = [1, 2, 3, 4, 63, 64, 65, 129, 156, 157, 340, 341, 513, 1023, 2048, 2049, 4097, 65535];
    let kernels = [(1, 1), (1, 3), (3, 1), (3, 3), (5, 5), (7, 7), (1, 255), (255, 1)];
    let mut specs = large_specs();
    for (c_in, (kernel_h, kernel_w)) in channels.into_iter().flat_map(|c| kernels.map(|kernel| (c, kernel))) {
        for padding in [Padding::NONE, Padding { top: kernel_h / 2, left: kernel_w / 2, ..Padding::NONE }] {
            for c_out in [1, 127, 128, 129, 65535] {
                let plane = (u16::from(kernel_h) + 1, u16::from(kernel_w) + 1);
                let conv = LayerSpec::conv(plane.0, plane.1, c_in, c_out, 1, 1, padding);
                let conv = LayerSpec { kernel_h, kernel_w, ..conv };
                specs.extend([conv, LayerSpec::linear(c_in, c_out)]);
                specs.push(LayerSpec { op: Op::Depthwise, c_out: c_in, ..conv });
            }
        }
    }
    specs.retain(|spec| spec.check().is_ok());
    assert!(specs.len() > 2000);
    for spec in specs {
        // A group's channels are put together in strips of 4 KiB.
        let most = if spec.op == Op::GroupedConv { 8192 + 4096 } else { 8192 };
        assert!(scratch_bytes(&spec) <= most, "{spec}: {} bytes", scratch_bytes(&spec));
    }
}

#[test]
fn damaged_and_cut_blobs_are_refused() {
    let mut random = Random(2);
    for op in Op::ALL {
        let blob = random_case(&mut random, op).blob();
        for _ in 0..most(200, 5) {
            let mut damaged = blob.clone();
            let at = random.bits() as usize % (damaged.len() * 4);
            bytes_mut(&mut damaged)[at] ^= 1 << (random.bits() % 8);
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
    let n = most(20_000, 100);
    for i in 0..n {
        let mut blob = random_case(&mut random, Op::ALL[i % Op::ALL.len()]).blob();
        let data = bytes_mut(&mut blob);
        for _ in 0..random.within(1, 3) {
            let at = 16 + random.bits() as usize % (data.len() - 16).min(112);
            data[at] = random.bits() as u8;
        }
        let crc = device_bench::crc::crc32(&data[16..]);
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
    assert!(n_ran > n / 20, "only {n_ran} damaged blobs were still valid");
}
