//! How many channels a node has, as a function of the units.

use super::graph::{Channels, Graph, NodeOp, Unit, UnitId};
use std::collections::{BTreeMap, BTreeSet};

/// `(constant + Σ factor · unit) / parts` channels, in lowest terms: two equal widths agree in every subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Width {
    constant: usize,
    factors: BTreeMap<UnitId, usize>,
    parts: usize,
}

impl Width {
    /// The same in every subnet.
    pub fn constant(n: usize) -> Width {
        Width { constant: n, factors: BTreeMap::new(), parts: 1 }
    }

    /// The sum of the units' counts.
    pub fn sum(units: &[UnitId]) -> Width {
        let mut factors = BTreeMap::new();
        units.iter().for_each(|&unit| *factors.entry(unit).or_insert(0) += 1);
        Width { constant: 0, factors, parts: 1 }
    }

    /// Both, one after the other.
    pub fn concat(&self, other: &Width) -> Width {
        let mut factors = BTreeMap::new();
        for (width, times) in [(self, other.parts), (other, self.parts)] {
            width.factors.iter().for_each(|(&unit, f)| *factors.entry(unit).or_insert(0) += f * times);
        }
        let constant = self.constant * other.parts + other.constant * self.parts;
        Width { constant, factors, parts: self.parts * other.parts }.reduced()
    }

    /// One of `parts` equal runs.
    pub fn split(&self, parts: usize) -> Width {
        Width { parts: self.parts * parts, ..self.clone() }.reduced()
    }

    fn reduced(mut self) -> Width {
        let common = self.factors.values().fold(gcd(self.constant, self.parts), |a, &b| gcd(a, b));
        self.constant /= common;
        self.parts /= common;
        self.factors.values_mut().for_each(|factor| *factor /= common);
        self
    }

    /// Channels of the subnet `channels`.
    pub fn count(&self, channels: &Channels) -> usize {
        let sum: usize = self.factors.iter().map(|(&unit, factor)| factor * channels.0[unit]).sum();
        (self.constant + sum) / self.parts
    }

    /// The units that it depends on, ascending.
    pub fn units(&self) -> impl Iterator<Item = UnitId> + '_ {
        self.factors.keys().copied()
    }

    /// Its formula with the units' names: `16 channels`, `` unit `stem` ``, `` (`a` + 2 `b`) / 2 ``.
    pub fn in_words(&self, units: &[Unit]) -> String {
        let term = |(&unit, &factor): (&UnitId, &usize)| match factor {
            1 => format!("`{}`", units[unit].name),
            _ => format!("{factor} `{}`", units[unit].name),
        };
        let constant = (self.constant > 0).then(|| self.constant.to_string());
        let terms: Vec<String> = self.factors.iter().map(term).chain(constant).collect();
        match (&terms[..], self.parts) {
            ([_], 1) if self.is_constant() => format!("{} channels", self.constant),
            ([term], 1) => format!("unit {term}"),
            ([term], parts) => format!("{term} / {parts}"),
            (_, 1) => terms.join(" + "),
            (_, parts) => format!("({}) / {parts}", terms.join(" + ")),
        }
    }

    /// Whether no unit changes it.
    pub fn is_constant(&self) -> bool {
        self.factors.is_empty()
    }

    /// Whether every choice of bins gives a multiple of `n` (each of its terms does).
    pub(super) fn is_multiple_of(&self, n: usize, units: &[Unit]) -> bool {
        let Some(by) = n.checked_mul(self.parts) else { return false };
        let even =
            |(&unit, factor): (&UnitId, &usize)| units[unit].bins.iter().all(|bin| (bin * factor) % by == 0);
        self.constant.is_multiple_of(by) && self.factors.iter().all(even)
    }

    /// Whether widths made of it can be counted in 64 bits.
    pub(super) fn is_small(&self) -> bool {
        self.parts <= 1 << 16 && self.constant <= 1 << 32 && self.factors.values().all(|&f| f <= 1 << 32)
    }
}

/// Counts of `input` and `output` under every choice of bins, each pair once, ascending.
///
/// `None` if that takes more than `steps` steps, from which it takes what it needs: there may be as many pairs.
pub(super) fn pairs(
    input: &Width,
    output: &Width,
    units: &[Unit],
    steps: &mut usize,
) -> Option<Vec<(usize, usize)>> {
    let factor = |width: &Width, unit| width.factors.get(&unit).copied().unwrap_or(0);
    let mut sums = vec![(input.constant, output.constant)];
    for unit in input.units().chain(output.units()).collect::<BTreeSet<_>>() {
        let (bins, by) = (&units[unit].bins, (factor(input, unit), factor(output, unit)));
        *steps = steps.checked_sub(sums.len().checked_mul(bins.len())?)?;
        let with = |&(a, b): &(usize, usize)| bins.iter().map(move |bin| (a + by.0 * bin, b + by.1 * bin));
        sums = sums.iter().flat_map(with).collect();
        sums.sort_unstable();
        sums.dedup();
    }
    Some(sums.into_iter().map(|(a, b)| (a / input.parts, b / output.parts)).collect())
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl NodeOp {
    /// The width of its output, if those that it follows from are known: `widths` of the nodes before it.
    pub(super) fn width(&self, graph: &Graph, widths: &[Option<Width>]) -> Option<Width> {
        match self {
            NodeOp::Input => Some(Width::constant(graph.input.c)),
            NodeOp::Conv(conv) => Some(Width::sum(&conv.units)),
            NodeOp::Linear(linear) => Some(Width::sum(&linear.units)),
            NodeOp::Concat { a, b } => Some(widths[*a].as_ref()?.concat(widths[*b].as_ref()?)),
            NodeOp::Split { input, parts, .. } => Some(widths[*input].as_ref()?.split(*parts)),
            NodeOp::Pool(pool) => widths[pool.input].clone(),
            NodeOp::Add { a: input, .. }
            | NodeOp::Shuffle { input, .. }
            | NodeOp::GlobalAverage { input }
            | NodeOp::Scale { input, .. } => widths[*input].clone(),
            NodeOp::Head { .. } => Some(Width::constant(graph.classes)),
        }
    }
}

impl Graph {
    /// The width of every node's output; the head's are its classes.
    pub fn node_widths(&self) -> Vec<Width> {
        let mut widths = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            widths.push(node.op.width(self, &widths));
        }
        widths.into_iter().map(|width| width.expect("nodes are in topological order")).collect()
    }

    /// Output channels of every node under `channels`; the head's are its classes. A split rounds down where its
    /// parts do not divide a count, which no choice of bins needs.
    pub fn node_channels(&self, channels: &Channels) -> Vec<usize> {
        let mut counts = Vec::with_capacity(self.nodes.len());
        self.node_channels_into(channels, &mut counts);
        counts
    }

    /// [`Graph::node_channels`] in place of what `counts` holds; allocates only what it lacks.
    pub fn node_channels_into(&self, channels: &Channels, counts: &mut Vec<usize>) {
        let sum = |units: &[UnitId]| units.iter().map(|&unit| channels.0[unit]).sum();
        counts.clear();
        for node in &self.nodes {
            counts.push(match &node.op {
                NodeOp::Input => self.input.c,
                NodeOp::Conv(conv) => sum(&conv.units),
                NodeOp::Linear(linear) => sum(&linear.units),
                NodeOp::Concat { a, b } => counts[*a] + counts[*b],
                NodeOp::Split { input, parts, .. } => counts[*input] / parts,
                NodeOp::Pool(pool) => counts[pool.input],
                NodeOp::Add { a: input, .. }
                | NodeOp::Shuffle { input, .. }
                | NodeOp::GlobalAverage { input }
                | NodeOp::Scale { input, .. } => counts[*input],
                NodeOp::Head { .. } => self.classes,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::arbitrary;

    #[test]
    fn halves_of_a_concatenation_have_the_width_of_the_whole() {
        let u = Width::sum(&[0]);
        let half = u.concat(&u).split(2);
        assert_eq!(half, u);
        let mixed = Width::sum(&[0, 1]).split(2);
        assert_eq!(mixed.concat(&mixed), Width::sum(&[1, 0]));
        assert_eq!(mixed.concat(&Width::constant(3)).count(&Channels(vec![4, 6])), 8);
        assert_ne!(mixed, Width::sum(&[0]));
    }

    #[test]
    fn pairs_are_those_of_every_choice_of_bins_and_are_not_sought_for_long() {
        let unit = |bins: [usize; 3]| Unit { name: String::new(), full: bins[0], bins: bins.into() };
        let units = [unit([2, 4, 6]), unit([4, 8, 12]), unit([1, 2, 3])];
        let (input, output) = (Width::sum(&[0, 1]).concat(&Width::constant(2)).split(2), Width::sum(&[1, 1]));
        let mut wanted = BTreeSet::new();
        for (&a, &b) in units[0].bins.iter().flat_map(|a| units[1].bins.iter().map(move |b| (a, b))) {
            let channels = Channels(vec![a, b, 1]);
            wanted.insert((input.count(&channels), output.count(&channels)));
        }
        let mut steps = 12;
        assert_eq!(pairs(&input, &output, &units, &mut steps), Some(wanted.into_iter().collect()));
        assert_eq!(steps, 0);
        assert_eq!(pairs(&input, &output, &units, &mut 11), None);
    }

    #[test]
    fn channels_are_the_counts_of_the_widths() {
        let mut counts = vec![5; 64];
        let (place, capacity) = (counts.as_ptr(), counts.capacity());
        for seed in 0..300 {
            let graph = arbitrary::any_graph(&arbitrary::genes(seed, 1 + seed % 12));
            let widths = graph.node_widths();
            for channels in (0..4).map(|salt| arbitrary::channels(&graph, salt)) {
                let want: Vec<usize> = widths.iter().map(|width| width.count(&channels)).collect();
                graph.node_channels_into(&channels, &mut counts);
                assert_eq!(counts, want, "{graph:?}");
                assert_eq!(graph.node_channels(&channels), want);
            }
        }
        assert_eq!((counts.as_ptr(), counts.capacity()), (place, capacity));
    }
}
