//! CMSIS-NN's figures: `device-bench/baselines/*.csv`, which say how they were taken.

use crate::networks::same;
use anyhow::{Context, Result, bail};
use device_bench::{LayerSpec, Op};

const LAYERS: &str = include_str!("../../../device-bench/baselines/cmsis-nn-layers.csv");
const NETWORKS: &str = include_str!("../../../device-bench/baselines/networks.csv");

/// A table of figures with a name each.
pub struct Baseline {
    columns: Vec<&'static str>,
    rows: Vec<Vec<&'static str>>,
}

impl Baseline {
    /// The layers.
    pub fn layers() -> Baseline {
        parse(LAYERS)
    }

    /// The networks.
    pub fn networks() -> Baseline {
        parse(NETWORKS)
    }

    /// Names, in the table's order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.rows.iter().map(|row| row[0])
    }

    /// A figure; `None` where the table has no such column or row.
    pub fn figure(&self, name: &str, column: &str) -> Option<u64> {
        self.field(name, column)?.parse().ok()
    }

    /// The shape of a layer.
    ///
    /// # Errors
    /// If a field is missing or no number.
    pub fn spec(&self, name: &str) -> Result<LayerSpec> {
        let number = |column| {
            let field = self.field(name, column).with_context(|| format!("{name} has no {column}"))?;
            field.parse::<u16>().with_context(|| format!("{name}: {column} is {field}"))
        };
        let plane = (number("h")?, number("w")?);
        let channels = (number("c_in")?, number("c_out")?);
        let (kernel, stride) = (number("kernel")? as u8, number("stride")? as u8);
        Ok(match self.field(name, "op") {
            Some("conv") => same(Op::Conv, plane, channels, (kernel, kernel), stride),
            Some("depthwise") => same(Op::Depthwise, plane, channels, (kernel, kernel), stride),
            Some("linear") => LayerSpec::linear(channels.0, channels.1),
            Some("avg_pool") => LayerSpec::global_avg_pool(plane.0, plane.1, channels.0),
            Some("add") => LayerSpec::add(plane.0, plane.1, channels.0),
            op => bail!("{name}: there is no operator {op:?}"),
        })
    }

    fn field(&self, name: &str, column: &str) -> Option<&'static str> {
        let at = self.columns.iter().position(|&c| c == column)?;
        self.rows.iter().find(|row| row[0] == name)?.get(at).copied()
    }
}

fn parse(text: &'static str) -> Baseline {
    let mut lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(',').collect());
    Baseline { columns: lines.next().unwrap_or_default(), rows: lines.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_has_its_multiply_accumulates_and_every_network_a_figure() {
        let layers = Baseline::layers();
        assert_eq!(layers.names().count(), 22);
        for name in layers.names() {
            let macs = layers.spec(name).unwrap().macs();
            assert_eq!(layers.figure(name, "macs"), Some(macs), "{name}");
        }
        for (name, _) in crate::networks::networks() {
            assert!(Baseline::networks().figure(name, "m4_instr").is_some(), "{name}");
        }
    }
}
