//! What a training needs, known before it starts: every buffer of the engine grows to these sizes and stays.

use cpu_kernels::norm::period;

use super::backward::is_layer;
use super::conv_backward::{WIDE, is_wide};
use super::conv_forward::block_pixels;
use super::conv_wide::WideTiles;
use super::core::Core;
use super::forward::CHUNKS;
use super::geometry::Layer;
use crate::network::{Conv, Graph, Linear, NodeOp};
use cpu_kernels::Real;

/// Bytes of a training step of the widest subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Outputs of all nodes, kept for the backward.
    pub activations: usize,
    /// Gradients of the outputs that are alive at one time.
    pub gradients: usize,
    /// Temporaries of all threads and chunks.
    pub temporaries: usize,
    /// Parameters, their gradients and velocities.
    pub parameters: usize,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> usize {
        self.activations + self.gradients + self.temporaries + self.parameters
    }
}

/// Per node, the buffer of its gradient: nodes whose gradients are never alive at one time may share one, and take the
/// one whose size at the widest fits best.
pub fn gradient_slots(graph: &Graph) -> Vec<usize> {
    let (planes, channels) = (graph.node_planes(), graph.node_channels(&graph.widest()));
    let (mut of, mut lens, mut free) = (vec![None; graph.nodes.len()], Vec::new(), Vec::new());
    for (idx, node) in graph.nodes.iter().enumerate().rev() {
        for input in node.op.inputs().into_iter().filter(|&input| input != 0) {
            let len = planes[input].0 * planes[input].1 * channels[input];
            if of[input].is_some() {
                continue;
            }
            let slot = best_fit(&free, &lens, len).map_or(lens.len(), |at| free.swap_remove(at));
            lens.resize(lens.len().max(slot + 1), 0);
            lens[slot] = len.max(lens[slot]);
            of[input] = Some(slot);
        }
        free.extend(of[idx]);
    }
    // The last node and the image have no gradient.
    of.into_iter().map(Option::unwrap_or_default).collect()
}

/// Which of the `free` buffers holds `len` values with the least to spare, or else is the largest.
fn best_fit(free: &[usize], lens: &[usize], len: usize) -> Option<usize> {
    let waste = |at: &usize| {
        let found = lens[free[*at]];
        if found >= len { (false, found) } else { (true, usize::MAX - found) }
    };
    (0..free.len()).min_by_key(waste)
}

impl Core {
    /// What a step of `n` images needs, with the shapes of the widest subnet.
    pub fn memory(&mut self, n: usize) -> Memory {
        self.prepare_shapes(n, &self.graph.widest());
        let values = size_of::<Real>();
        Memory {
            activations: values * self.nodes.iter().map(|node| node.len).sum::<usize>(),
            gradients: values * self.gradient_buffers(),
            temporaries: values * self.temporaries(),
            parameters: 3 * values * self.loans.n_values(),
        }
    }

    /// The buffers that the backward hands from node to node.
    fn gradient_buffers(&self) -> usize {
        let largest = |slot: usize| {
            let of_slot = self.grad_slots.iter().zip(&self.nodes).skip(1).filter(|(of, _)| **of == slot);
            of_slot.map(|(_, node)| node.len).max().unwrap_or(0)
        };
        (0..self.grad_buffers.len()).map(largest).sum()
    }

    fn temporaries(&self) -> usize {
        let (mut scratch, mut packed, mut parts, mut whole) = ([0; 2], 0, 0, [0; 3]);
        let mut sums = vec![0; self.nodes.len()];
        let max = |a: &mut usize, b: usize| *a = b.max(*a);
        for (idx, node) in self.graph.nodes.iter().enumerate() {
            let image = |idx: usize| self.nodes[idx].len / self.n;
            for input in node.op.inputs() {
                max(&mut scratch[0], image(input));
                max(&mut scratch[1], 2 * image(input));
                max(&mut sums[input], CHUNKS * 2 * self.longest_period(input));
            }
            let Some(layer) = Layer::of(&node.op) else { continue };
            let (g, plan) = (self.geometry(idx, &layer), &self.plans[idx]);
            let forward = self.n_chunks(g.macs(), g.n_weights());
            max(&mut parts, forward * 3 * self.longest_period(idx));
            max(&mut packed, plan.forward_len(self.isa, &g).max(plan.input_len(self.isa, &g)));
            let [forward_scratch, input_scratch] = plan.scratch_lens();
            let wide = is_wide(&g);
            let backward = self.n_chunks(2 * g.macs(), if wide { 0 } else { g.n_weights() });
            max(&mut sums[layer.input], backward * 2 * self.longest_period(layer.input));
            if g.is_pointwise() && !wide {
                max(&mut scratch[0], block_pixels(&g) * g.c_in);
                max(&mut scratch[1], block_pixels(&g) * g.c_out);
            } else {
                let [forward_images, images] = plan.images();
                let [tiles, tile_sums] = if wide { [0; 2] } else { plan.weight_lens() };
                max(&mut scratch[0], forward_images.max(images) * g.padded_len() + tile_sums);
                max(&mut scratch[0], if wide { input_scratch } else { 0 });
                max(&mut scratch[1], forward_scratch);
                let gradients = if g.is_depthwise {
                    g.out_len().max(plan.border.len) + g.in_len()
                } else {
                    images * plan.border.len + tiles.max(input_scratch)
                };
                max(&mut scratch[1], gradients);
            }
            if wide {
                max(&mut whole[0], self.n * g.padded_len());
                max(&mut whole[1], self.n * plan.border.len);
                if let Some(winograd) = &plan.weight_tiles {
                    let lens = WideTiles { winograd, n: self.n }.lens();
                    max(&mut whole[0], lens[0]);
                    max(&mut whole[2], lens[1]);
                    max(&mut parts, winograd.sums_len() + g.n_weights());
                }
                // The most of any narrower subnet's that is not wide.
                max(&mut parts, self.n_chunks(2 * g.macs(), g.n_weights()) * WIDE);
                max(&mut parts, g.n_weights());
            } else {
                max(&mut parts, backward * g.n_weights());
            }
        }
        let pooled = match self.graph.nodes.last().map(|node| &node.op) {
            Some(NodeOp::Head { input }) => self.n * self.nodes[*input].c,
            _ => 0,
        };
        let sums = sums.iter().zip(&self.graph.nodes).filter(|(_, node)| is_layer(&node.op));
        let sums: usize = sums.map(|(sums, _)| sums).sum();
        let threads = self.scratch.len();
        threads * scratch.iter().sum::<usize>() + packed + parts + whole.iter().sum::<usize>() + sums + pooled
    }

    /// The longest period of a node's channels in any subnet: 24 channels have a longer one than 32.
    fn longest_period(&self, idx: usize) -> usize {
        let of = |c: usize| period(self.isa, c);
        match &self.graph.nodes[idx].op {
            NodeOp::Conv(Conv { units, .. }) | NodeOp::Linear(Linear { units, .. }) if units.len() == 1 => {
                self.graph.units[units[0]].bins.iter().map(|&c| of(c)).max().unwrap_or(1)
            }
            op => match op.inputs().first() {
                Some(&input) => self.longest_period(input).max(of(self.nodes[idx].c)),
                None => of(self.nodes[idx].c),
            },
        }
    }

    /// Bytes that the buffers of past steps take, without coefficients per channel.
    #[cfg(test)]
    pub fn allocated(&self) -> usize {
        let of = |buffers: &mut dyn Iterator<Item = &Vec<Real>>| buffers.map(Vec::capacity).sum::<usize>();
        let nodes = of(&mut self.nodes.iter().flat_map(|node| [&node.z, &node.grad, &node.norm.sums]));
        let scratch =
            self.scratch.iter().map(|s| of(&mut s.lock().expect("no thread").iter())).sum::<usize>();
        let shared = of(&mut [&self.packed, &self.parts, &self.pooled].into_iter().chain(&self.whole));
        let values = nodes + of(&mut self.grad_buffers.iter()) + scratch + shared + self.loans.n_values();
        size_of::<Real>() * values
    }
}
