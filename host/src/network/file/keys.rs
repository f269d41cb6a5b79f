//! The tables of a file, key by key, so that one wrong value hides no other.

use super::mistake::{FileError, Found};
use super::{FileNode, FileOp, FileUnit};
use crate::nearest::did_you_mean;
use crate::network::Activation;
use serde::de::{DeserializeOwned, IntoDeserializer as _};
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const FILE_KEYS: &[&str] = &["name", "input", "classes", "unit", "node"];
const UNIT_KEYS: &[&str] = &["name", "full", "bins"];
const NODE_KEYS: &[&str] = &[
    "name",
    "op",
    "input",
    "inputs",
    "unit",
    "kernel",
    "stride",
    "padding",
    "groups",
    "part",
    "parts",
    "activation",
];

/// What a file says, as far as it can be read.
pub(super) struct Pieces {
    pub name: Option<Spanned<String>>,
    pub input: Option<Spanned<[usize; 3]>>,
    pub classes: Option<Spanned<usize>>,
    pub units: Vec<UnitPiece>,
    pub nodes: Vec<NodePiece>,
}

/// A unit's table.
pub(super) struct UnitPiece {
    /// A made-up one where there is none.
    pub name: Spanned<String>,
    /// The rest, where it can be read.
    pub unit: Option<FileUnit>,
}

/// A node's table.
pub(super) struct NodePiece {
    /// A made-up one where there is none.
    pub name: Spanned<String>,
    /// The rest, where its operator is known.
    pub node: Option<FileNode>,
}

/// Reads a file; what cannot be read is told. `None` if it is no TOML.
pub(super) fn read(text: &str, found: &mut Found) -> Option<Pieces> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            found.tell(at, || FileError::Syntax(error.message().to_owned()));
        }
        return None;
    }
    let mut file = Keys::new("the network".into(), table, found);
    let name = file.need("name");
    let (input, classes) = (file.take("input"), file.take("classes"));
    let (units, nodes) = (file.tables("unit"), file.tables("node"));
    file.finish(FILE_KEYS);
    let units = units.into_iter().enumerate().map(|(i, table)| read_unit(i, table, found)).collect();
    let nodes = nodes.into_iter().enumerate().map(|(i, table)| read_node(i, table, found)).collect();
    Some(Pieces { name, input, classes, units, nodes })
}

fn read_unit<'i>(i: usize, table: Spanned<DeTable<'i>>, found: &mut Found) -> UnitPiece {
    let start = table.span();
    let mut keys = Keys::new(owner("unit", i, &table), table, found);
    let name = keys.need::<String>("name");
    let (full, bins) = (keys.need("full"), keys.take("bins"));
    let bins_read = !keys.wrong.contains(&"bins");
    keys.finish(UNIT_KEYS);
    let named = name.clone().unwrap_or_else(|| Spanned::new(start, format!("#{}", i + 1)));
    let unit = full.filter(|_| bins_read).map(|full| FileUnit { name: named.clone(), full, bins });
    UnitPiece { name: named, unit }
}

fn read_node<'i>(i: usize, table: Spanned<DeTable<'i>>, found: &mut Found) -> NodePiece {
    let start = table.span();
    let mut keys = Keys::new(owner("node", i, &table), table, found);
    let name = keys.need::<String>("name").unwrap_or_else(|| Spanned::new(start, format!("#{}", i + 1)));
    let op =
        keys.need::<String>("op").and_then(|op| keys.choose(&op, "operator", &FileOp::ALL, FileOp::name));
    let (input, inputs, unit) = (keys.take("input"), keys.value("inputs"), keys.take("unit"));
    let (kernel, stride, padding) = (keys.value("kernel"), keys.value("stride"), keys.value("padding"));
    let (groups, part, parts) = (keys.value("groups"), keys.value("part"), keys.value("parts"));
    let activation = keys.take::<String>("activation");
    let activation = activation.and_then(|named| {
        let chosen = keys.choose(&named, "activation", &Activation::ALL, Activation::name);
        if chosen.is_none() {
            keys.wrong.push("activation");
        }
        chosen
    });
    let wrong = keys.finish(NODE_KEYS);
    let node = op.map(|op| FileNode {
        name: name.clone(),
        op,
        input,
        inputs,
        unit,
        kernel,
        stride,
        padding,
        groups,
        part,
        parts,
        activation,
        wrong,
    });
    NodePiece { name, node }
}

/// What messages call a table before its name is known to be one.
fn owner(kind: &str, i: usize, table: &Spanned<DeTable>) -> String {
    match table.as_ref().get("name").and_then(|name| name.as_ref().as_str()) {
        Some(name) => format!("{kind} `{name}`"),
        None => format!("{kind} {}", i + 1),
    }
}

/// A table whose keys are taken one by one.
struct Keys<'a, 'f, 'i> {
    owner: String,
    at: usize,
    left: BTreeMap<String, (usize, Spanned<DeValue<'i>>)>,
    wrong: Vec<&'static str>,
    found: &'a mut Found<'f>,
}

impl<'a, 'f, 'i> Keys<'a, 'f, 'i> {
    fn new(owner: String, table: Spanned<DeTable<'i>>, found: &'a mut Found<'f>) -> Self {
        let at = table.span().start;
        let pairs = table.into_inner().into_iter();
        let left = pairs.map(|(key, value)| (key.as_ref().to_string(), (key.span().start, value))).collect();
        Keys { owner, at, left, wrong: Vec::new(), found }
    }

    /// The value of a key that may be missing; what it is instead is told.
    fn take<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<Spanned<T>> {
        let (_, value) = self.left.remove(key)?;
        let span = value.span();
        match T::deserialize(value.into_deserializer()) {
            Ok(value) => Some(Spanned::new(span, value)),
            Err(error) => {
                self.wrong.push(key);
                let (owner, message) = (self.owner.clone(), in_words(error.message()));
                self.found.tell(span.start, || FileError::Value { owner, key, message });
                None
            }
        }
    }

    fn value<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        self.take(key).map(Spanned::into_inner)
    }

    /// The same of one that may not.
    fn need<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<Spanned<T>> {
        if !self.left.contains_key(key) {
            let owner = self.owner.clone();
            self.found.tell(self.at, || FileError::Missing { owner, key });
        }
        self.take(key)
    }

    /// The choice of that name.
    fn choose<T: Copy>(
        &mut self,
        named: &Spanned<String>,
        what: &'static str,
        all: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let chosen = all.iter().copied().find(|&choice| name(choice) == named.as_ref());
        if chosen.is_none() {
            let names: Vec<&str> = all.iter().map(|&choice| name(choice)).collect();
            let suggestion = did_you_mean(named.as_ref(), names.iter().copied());
            let hint = format!("{suggestion}; there are {}", names.join(", "));
            let (owner, name) = (self.owner.clone(), named.as_ref().clone());
            self.found.tell(named.span().start, || FileError::Unknown { owner, what, name, hint });
        }
        chosen
    }

    /// The tables of a key, `[[key]]`.
    fn tables(&mut self, key: &'static str) -> Vec<Spanned<DeTable<'i>>> {
        let Some((_, value)) = self.left.remove(key) else { return Vec::new() };
        let span = value.span();
        let DeValue::Array(values) = value.into_inner() else {
            self.not_tables(key, span.start);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for value in values {
            let span = value.span();
            match value.into_inner() {
                DeValue::Table(table) => tables.push(Spanned::new(span, table)),
                _ => self.not_tables(key, span.start),
            }
        }
        tables
    }

    fn not_tables(&mut self, key: &'static str, at: usize) {
        let (owner, message) = (self.owner.clone(), format!("tables are expected, each under `[[{key}]]`"));
        self.found.tell(at, || FileError::Value { owner, key, message });
    }

    /// Tells the keys that nothing took; returns those whose values are wrong.
    fn finish(self, known: &[&str]) -> Vec<&'static str> {
        for (key, (at, _)) in self.left {
            let owner = self.owner.clone();
            self.found.tell(at, || FileError::UnknownKey {
                owner,
                suggestion: did_you_mean(&key, known.iter().copied()),
                key,
                known: known.join(", "),
            });
        }
        self.wrong
    }
}

/// A message of the deserialiser without the names of Rust's types.
fn in_words(message: &str) -> String {
    ["usize", "u8"].iter().fold(message.to_owned(), |message, number| {
        message.replace(&format!("expected {number}"), "expected a number of at least 0")
    })
}
