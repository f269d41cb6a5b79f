//! How many images an evaluation takes through which part of the network together.

use super::geometry::Geometry;
use super::plan::Plan;
use crate::network::{Graph, NodeId};

/// Pixels that make the packed weights of a wide layer worth reading.
pub const PIXELS: usize = 48;

/// Weights that stay in a core's second cache from image to image.
const RESIDENT: usize = 16384;

/// The nodes of which everything later sees only the output.
pub fn cuts(graph: &Graph) -> Vec<NodeId> {
    let reads_behind = |cut: NodeId| {
        graph.nodes[cut + 1..].iter().all(|node| node.op.inputs().iter().all(|&input| input >= cut))
    };
    (1..graph.nodes.len()).filter(|&cut| reads_behind(cut)).collect()
}

/// A part of the network, and how many images go through it together.
///
/// Few images stay in the cache; wide layers on small maps need more pixels than one image has. These come last, and the
/// parts before them see a few images at a time.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// The last node, of which the next part sees only the output.
    pub end: NodeId,
    /// Images.
    pub images: usize,
}

/// Cuts the network into parts of more and more images; the last one has all nodes that are left.
pub fn cut_parts(
    n: usize,
    geometries: &[Option<Geometry>],
    plans: &[Plan],
    cuts: &[NodeId],
    parts: &mut Vec<Part>,
) {
    /// By how much more images make a part: a cut costs a copy.
    const LARGER: usize = 3;
    let wanted = |idx: NodeId| match (&geometries[idx], plans[idx].tiles) {
        (Some(g), tiles) if g.n_weights() > RESIDENT => {
            tiles.map_or(PIXELS.div_ceil(g.h_out * g.w_out), |tiles| tiles.images())
        }
        (_, Some(tiles)) => tiles.images().min(2),
        _ => 1,
    };
    let most_up_to = |end: NodeId| (0..=end).map(wanted).max().unwrap_or(1).min(n.div_ceil(8)).max(1);
    parts.clear();
    let mut part = Part { end: geometries.len() - 1, images: most_up_to(geometries.len() - 1) };
    parts.push(part);
    for &cut in cuts.iter().rev() {
        let images = most_up_to(cut);
        if cut < part.end && images * LARGER <= part.images {
            part = Part { end: cut, images };
            parts.insert(0, part);
        }
    }
}
