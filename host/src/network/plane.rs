//! How large a node's output is.

use super::graph::{Conv, Graph, Kernel, NodeOp, Pool};
use device_bench::Padding;

/// A window that moves over a plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its size.
    pub kernel: Kernel,
    /// Its step in both directions.
    pub stride: usize,
    /// Pixels around the plane.
    pub padding: Padding,
}

impl Window {
    /// Whether it has a kernel, a stride, and no side's padding as large as the kernel; 255 pixels are the most.
    pub(super) fn is_valid(&self) -> bool {
        let p = self.padding;
        let fits = |pad: u8, kernel: usize| usize::from(pad) < kernel;
        (1..=255).contains(&self.kernel.h)
            && (1..=255).contains(&self.kernel.w)
            && (1..=255).contains(&self.stride)
            && fits(p.top.max(p.bottom), self.kernel.h)
            && fits(p.left.max(p.right), self.kernel.w)
    }

    /// Its positions on a plane of `(h, w)`, if it fits.
    pub fn positions(&self, (h, w): (usize, usize)) -> Option<(usize, usize)> {
        let Window { kernel, stride, padding: p } = *self;
        let out = |n: usize, before: u8, after: u8, kernel: usize| {
            Some((n + usize::from(before) + usize::from(after)).checked_sub(kernel)? / stride + 1)
        };
        Some((out(h, p.top, p.bottom, kernel.h)?, out(w, p.left, p.right, kernel.w)?))
    }
}

impl NodeOp {
    /// The window of a convolution or pool.
    pub fn window(&self) -> Option<Window> {
        match *self {
            NodeOp::Conv(Conv { kernel, stride, padding, .. })
            | NodeOp::Pool(Pool { kernel, stride, padding, .. }) => Some(Window { kernel, stride, padding }),
            _ => None,
        }
    }
}

impl Graph {
    /// Output height and width of every node; the head's are 1 × 1. The graph has passed [`Graph::check`].
    pub fn node_planes(&self) -> Vec<(usize, usize)> {
        let mut planes: Vec<(usize, usize)> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            planes.push(match &node.op {
                NodeOp::Input => (self.input.h, self.input.w),
                NodeOp::Linear(_) | NodeOp::GlobalAverage { .. } | NodeOp::Head { .. } => (1, 1),
                op => {
                    let plane = planes[op.inputs()[0]];
                    let window = op.window();
                    window.map_or(plane, |w| {
                        w.positions(plane).expect("Graph::check refuses a kernel that does not fit")
                    })
                }
            });
        }
        planes
    }
}
