//! Networks: their list, one's file, its mistakes, what it is.

use super::{count, value};
use anyhow::Result;
use edgeslim::network::explain::{Explanation, NodeFacts, OfSubnets, Size, UnitFacts};
use edgeslim::network::lower::lower;
use edgeslim::network::picture::bins_in_words;
use edgeslim::network::zoo::{self, Task};
use edgeslim::network::{self, Graph, Mistake, Shape};
use edgeslim::ui::put;
use serde_json::{Value, json};
use std::path::Path;

/// Every network of the zoo at the size that it is made for.
pub fn networks(as_json: bool) -> Result<()> {
    let mut rows = Vec::new();
    let mut table =
        Table::new("<>>>>>>", &["network", "image", "classes", "MACs", "parameters", "units", "layers"]);
    for name in zoo::NAMES {
        let Task { network, form, input: Shape { h, w, c }, classes } = Task::of(name);
        let graph = network::look(name, None, None)?;
        let counts = graph.counts(&graph.full());
        let (n_units, n_layers) = (graph.units.len(), lower(&graph, &graph.full())?.layers.len());
        rows.push(json!({ "name": network, "form": form, "params": counts.params, "macs": counts.macs, "units": n_units,
            "layers": n_layers, "image": [h, w, c], "classes": classes }));
        let (macs, params) = (count(counts.macs as f64), count(counts.params as f64));
        table.row([
            name.into(),
            format!("{h}x{w}x{c}"),
            classes.to_string(),
            macs,
            params,
            n_units.to_string(),
            n_layers.to_string(),
        ]);
    }
    if as_json { value(&json!(rows)) } else { table.put() }
}

/// One network as a TOML file.
pub fn network(graph: &Graph, as_json: bool) -> Result<()> {
    if as_json {
        return value(&json!(graph));
    }
    put(format_args!("{}", network::to_toml(graph)))
}

/// What is wrong with a file, a line each. It is an error that there is something.
pub fn mistakes(path: &Path, mistakes: &[Mistake], as_json: bool) -> Result<()> {
    if as_json {
        let told: Vec<Value> = mistakes
            .iter()
            .map(|Mistake { line, error }| json!({ "line": line, "message": error.to_string() }))
            .collect();
        value(&json!({ "file": path, "mistakes": told }))?;
    } else {
        for Mistake { line, error } in mistakes {
            line!("{}:{line}: {error}", path.display());
        }
    }
    let n = mistakes.len();
    anyhow::bail!("{n} mistake{} in {}", if n == 1 { "" } else { "s" }, path.display())
}

/// What a network without mistakes is.
pub fn explanation(explanation: &Explanation, as_json: bool) -> Result<()> {
    if as_json {
        return value(&json!({ "mistakes": [], "network": explanation }));
    }
    let Explanation { name, input: Shape { h, w, c }, classes, nodes, units, sizes } = explanation;
    line!("{name}: no mistakes, for images of {h}x{w}x{c} and {classes} classes\n");
    nodes_table(nodes)?;
    line!(
        "\nChannels are at width x1.0, and at the smallest and largest of their units' bins; /2 is a stride."
    );
    line!("MACs and parameters are at width x1.0, counted as papers do.\n");
    for unit in units {
        put_unit(unit)?;
    }
    line!();
    sizes_table(sizes)
}

fn nodes_table(nodes: &[NodeFacts]) -> Result<()> {
    let heads = ["node", "reads", "operator", "plane", "channels", "bins", "MACs", "parameters", "unit"];
    let mut table = Table::new("<<<>>>>><", &heads);
    for node in nodes {
        let OfSubnets { smallest, full, widest } = node.channels;
        let (h, w) = node.plane;
        let plane = match node.input_plane {
            Some((in_h, in_w)) if (in_h, in_w) != (h, w) => format!("{in_h}x{in_w} to {h}x{w}"),
            _ => format!("{h}x{w}"),
        };
        let counted = |n: u64| if n == 0 { "-".into() } else { count(n as f64) };
        table.row([
            node.name.clone(),
            node.inputs.join(", "),
            node.op.clone(),
            plane,
            full.to_string(),
            if smallest == widest { "-".into() } else { format!("{smallest} to {widest}") },
            counted(node.counts.macs),
            counted(node.counts.params),
            if node.units.is_empty() { "-".into() } else { node.units.join(" + ") },
        ]);
    }
    table.put()
}

fn put_unit(unit: &UnitFacts) -> Result<()> {
    let UnitFacts { name, full, bins, layers, because } = unit;
    let layers = if layers.is_empty() { "no layer".into() } else { format!("layers {}", layers.join(", ")) };
    line!("unit {name}: {full} channels, one of {}; {layers}", bins_in_words(bins));
    for sentence in because {
        line!("    {sentence}");
    }
    Ok(())
}

fn sizes_table(sizes: &OfSubnets<Size>) -> Result<()> {
    let mut table = Table::new("<>>>>", &["subnet", "MACs", "parameters", "RAM bytes", "flash bytes"]);
    for (name, size) in [("smallest", sizes.smallest), ("full, x1.0", sizes.full), ("widest", sizes.widest)] {
        let or_dash = |bytes: Option<u64>| bytes.map_or("-".into(), |bytes| bytes.to_string());
        table.row([
            name.into(),
            count(size.counts.macs as f64),
            count(size.counts.params as f64),
            or_dash(size.ram_bytes.map(|bytes| bytes as u64)),
            or_dash(size.flash_bytes),
        ]);
    }
    table.put()
}

/// Cells in columns as wide as their longest.
struct Table {
    /// A `<` for each column that stands left, a `>` for one that stands right.
    sides: &'static str,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(sides: &'static str, heads: &[&str]) -> Table {
        Table { sides, rows: vec![heads.iter().map(|&head| head.to_owned()).collect()] }
    }

    fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    fn put(&self) -> Result<()> {
        let n_columns = self.sides.len();
        let width = |i: usize| self.rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..n_columns).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).zip(self.sides.chars());
            let cells: Vec<String> = cells
                .map(|((cell, &width), side)| match side {
                    '<' => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect();
            line!("{}", cells.join("  ").trim_end());
        }
        Ok(())
    }
}
