//! A list of layers to measure: `[[layer]]` tables in a TOML file.

use device_bench::{LayerSpec, Op, Padding};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A list that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no list; the message has line and column.
    #[error("{path}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A layer that no kernel can run.
    #[error("{path}: line {line}: {spec}: {problem}")]
    Layer {
        /// The file.
        path: PathBuf,
        /// Where the layer begins, from 1.
        line: usize,
        /// The layer as it was read.
        spec: LayerSpec,
        /// The rule that it breaks.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    layer: Vec<toml::Spanned<Item>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    op: Op,
    in_h: u16,
    in_w: u16,
    c_in: u16,
    c_out: Option<u16>,
    #[serde(default)]
    kernel: Option<Side>,
    #[serde(default)]
    stride: Option<u8>,
    #[serde(default)]
    groups: Option<u16>,
    #[serde(default)]
    padding: Option<Edges>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Side {
    Square(u8),
    HeightWidth([u8; 2]),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Edges {
    All(u8),
    TopBottomLeftRight([u8; 4]),
}

/// Reads the layers of `path`, in the file's order.
///
/// # Errors
/// [`ListError`] with the line.
pub fn read(path: &Path) -> Result<Vec<LayerSpec>, ListError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ListError::Read { path: path.to_owned(), source })?;
    parse(&text, path)
}

/// The layers of a list's text, in its order; `path` only names it in errors.
///
/// # Errors
/// [`ListError`] with the line.
pub fn parse(text: &str, path: &Path) -> Result<Vec<LayerSpec>, ListError> {
    let list: List = toml::from_str(text)
        .map_err(|source| ListError::Parse { path: path.to_owned(), source: Box::new(source) })?;
    let specs = list.layer.into_iter().map(|item| {
        let line = 1 + text.bytes().take(item.span().start).filter(|&b| b == b'\n').count();
        let item = item.into_inner();
        let spec = item.spec();
        let refuse = |problem| ListError::Layer { path: path.to_owned(), line, spec, problem };
        spec.check().map_err(|e| refuse(e.to_string()))?;
        Ok(spec)
    });
    specs.collect()
}

impl Item {
    fn spec(&self) -> LayerSpec {
        let (kernel_h, kernel_w) = match self.kernel {
            None => (1, 1),
            Some(Side::Square(side)) => (side, side),
            Some(Side::HeightWidth([h, w])) => (h, w),
        };
        let padding = match self.padding {
            None => Padding::NONE,
            Some(Edges::All(n)) => Padding::all(n),
            Some(Edges::TopBottomLeftRight([top, bottom, left, right])) => {
                Padding { top, bottom, left, right }
            }
        };
        LayerSpec {
            op: self.op,
            in_h: self.in_h,
            in_w: self.in_w,
            c_in: self.c_in,
            c_out: self.c_out.unwrap_or(self.c_in),
            kernel_h,
            kernel_w,
            stride: self.stride.unwrap_or(1),
            groups: self.groups.unwrap_or(1),
            padding,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Vec<LayerSpec>, ListError> {
        parse(text, Path::new("layers.toml"))
    }

    #[test]
    fn a_list_is_read_with_its_defaults() {
        let text = "[[layer]]\nop = \"conv\"\nin_h = 28\nin_w = 28\nc_in = 16\nc_out = 32\nkernel = 3\npadding = 1\n\
                    [[layer]]\nop = \"avg_pool\"\nin_h = 7\nin_w = 5\nc_in = 8\nkernel = [7, 5]\n";
        let specs = list(text).unwrap();
        assert_eq!(specs[0], LayerSpec::conv(28, 28, 16, 32, 3, 1, Padding::all(1)));
        assert_eq!(specs[1], LayerSpec::global_avg_pool(7, 5, 8));
    }

    #[test]
    fn a_layer_that_cannot_run_is_named_with_its_line() {
        let text = "\n[[layer]]\nop = \"depthwise\"\nin_h = 2\nin_w = 2\nc_in = 8\nkernel = 5\n";
        let error = list(text).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("kernel"), "{error}");
    }

    #[test]
    fn an_unknown_operator_or_key_is_refused_with_its_line() {
        for text in ["[[layer]]\nop = \"cnov\"\n", "[[layer]]\nop = \"conv\"\nchannels = 3\n"] {
            let error = list(text).unwrap_err().to_string();
            assert!(error.contains("line"), "{error}");
        }
    }
}
