//! A file made a graph.

use super::FileUnit;
use super::keys::{self, Pieces, UnitPiece};
use super::mistake::{FileError, Found, Mistakes};
use super::names::read_nodes;
use crate::network::check::{GraphError, MAX_NODES, Place};
use crate::network::graph::{Graph, Shape, Unit};
use crate::network::lower::{LowerError, lower};
use crate::network::zoo::{self, ZooOptions};
use std::collections::HashSet;
use toml::Spanned;

/// The network that `text` describes, for images of shape `input`. `options` have passed [`ZooOptions::check`]; they
/// make the bins of units that list none.
///
/// # Errors
/// All [`Mistakes`] that do not follow from each other, at most a hundred. Where the text is no TOML, only that.
pub fn parse(text: &str, input: Shape, classes: usize, options: ZooOptions) -> Result<Graph, Mistakes> {
    let mut found = Found::new(text);
    let graph = read(text, input, classes, options, &mut found);
    let graph = graph.unwrap_or(Graph { name: String::new(), input, classes, nodes: vec![], units: vec![] });
    found.or_mistakes(graph)
}

/// The image and the classes that `text` itself states, where it does.
pub fn stated(text: &str) -> (Option<Shape>, Option<usize>) {
    let Some(pieces) = keys::read(text, &mut Found::new(text)) else { return (None, None) };
    let shape = |[h, w, c]: [usize; 3]| Shape { h, w, c };
    (pieces.input.map(|input| shape(input.into_inner())), pieces.classes.map(Spanned::into_inner))
}

/// The graph, right only if nothing was found.
fn read(text: &str, input: Shape, classes: usize, options: ZooOptions, found: &mut Found) -> Option<Graph> {
    let pieces = keys::read(text, found)?;
    let shape = |[h, w, c]: [usize; 3]| format!("{h}x{w}x{c}");
    agree("input", pieces.input.as_ref(), |&input| shape(input), shape([input.h, input.w, input.c]), found);
    agree("classes", pieces.classes.as_ref(), usize::to_string, classes.to_string(), found);
    let name = pieces.name.as_ref().map_or(String::new(), |name| name.as_ref().clone());
    for (what, n) in [("nodes", pieces.nodes.len()), ("units", pieces.units.len())] {
        if n as u64 > MAX_NODES {
            let (network, found_n) = (name.clone(), n as u64);
            found.tell(0, || GraphError::TooMany { network, what, found: found_n, most: MAX_NODES }.into());
            return None;
        }
    }
    let mut told = HashSet::new();
    let mut units = Vec::new();
    for piece in &pieces.units {
        units.push(read_unit(piece, options, found).unwrap_or_else(|| {
            told.insert(Place::Unit(units.len()));
            Unit { name: piece.name.as_ref().clone(), full: 1, bins: Vec::new() }
        }));
    }
    let nodes = read_nodes(&pieces.nodes, &units, found);
    let graph = Graph { name, input, classes, nodes, units };
    check(&graph, &pieces, &told, found);
    Some(graph)
}

fn agree<T>(
    what: &'static str,
    file: Option<&Spanned<T>>,
    in_words: impl Fn(&T) -> String,
    data: String,
    found: &mut Found,
) {
    if let Some(value) = file {
        let file = in_words(value.as_ref());
        if file != data {
            found.tell(value.span().start, || FileError::Data { what, file, data });
        }
    }
}

/// A unit whose bins can be listed; what is wrong otherwise is told.
fn read_unit(piece: &UnitPiece, options: ZooOptions, found: &mut Found) -> Option<Unit> {
    let FileUnit { name, full, bins } = piece.unit.as_ref()?;
    let n = *full.as_ref();
    let rule = if n > usize::from(u16::MAX) {
        "there are at most 65535 channels"
    } else if bins.is_none() && zoo::n_bins(n, options) > MAX_BINS {
        "there are at most 4096 bins; list them, or raise bin_multiple in edgeslim.toml"
    } else {
        let bins = bins.as_ref().map_or_else(|| zoo::bins(n, options), |bins| bins.as_ref().clone());
        return Some(Unit { name: name.as_ref().clone(), full: n, bins });
    };
    found.tell(full.span().start, || GraphError::Bins { unit: name.as_ref().clone(), rule }.into());
    None
}

/// The most bins of a unit that lists none.
const MAX_BINS: usize = 4096;

/// Tells what breaks the rules of graphs and kernels, but nothing of what is told already.
fn check(graph: &Graph, pieces: &Pieces, told: &HashSet<Place>, found: &mut Found) {
    for (place, error) in graph.mistakes() {
        let follows = match error {
            GraphError::Order { .. } | GraphError::NoUnit { .. } => true,
            GraphError::Bins { .. } => told.contains(&place),
            // Without nodes that can be read, there may be a head.
            GraphError::Ends { .. } => place == Place::Network && !found.is_empty(),
            _ => false,
        };
        if !follows {
            found.tell(start(pieces, place), || error.into());
        }
    }
    if !found.is_empty() {
        return;
    }
    if let Err(error) = lower(graph, &graph.widest()) {
        let node = match &error {
            LowerError::Shape { node, .. } => graph.nodes.iter().position(|known| known.name == *node),
            _ => None,
        };
        found.tell(start(pieces, node.map_or(Place::Network, Place::Node)), || error.into());
    }
}

/// The byte where the name of a node or unit is; the network's, where it is neither.
fn start(pieces: &Pieces, place: Place) -> usize {
    let name = match place {
        Place::Unit(id) => pieces.units.get(id).map(|piece| &piece.name),
        Place::Node(id) => id.checked_sub(1).and_then(|i| pieces.nodes.get(i)).map(|piece| &piece.name),
        Place::Network => pieces.name.as_ref(),
    };
    name.map_or(0, |name| name.span().start)
}
