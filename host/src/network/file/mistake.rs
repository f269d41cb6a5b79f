//! What can be wrong with a network's file, and where.

use crate::network::{GraphError, LowerError};
use std::fmt;

/// What is wrong at one place of a network's file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FileError {
    /// No TOML.
    #[error("no TOML: {0}")]
    Syntax(String),
    /// A key that no network, unit or node has.
    #[error("{owner}: unknown key `{key}`{suggestion}; there are {known}")]
    UnknownKey {
        /// What has the key.
        owner: String,
        /// The key.
        key: String,
        /// The nearest key in words, or nothing.
        suggestion: String,
        /// All keys.
        known: String,
    },
    /// A key that a network, unit or node needs.
    #[error("{owner} needs `{key}`")]
    Missing {
        /// What lacks the key.
        owner: String,
        /// The key.
        key: &'static str,
    },
    /// A value of another kind, or too large.
    #[error("{owner}: `{key}`: {message}")]
    Value {
        /// What has the key.
        owner: String,
        /// The key.
        key: &'static str,
        /// What is expected.
        message: String,
    },
    /// A key that the operator lacks or does not have.
    #[error("node `{node}`: {op} {rule} `{key}`")]
    Key {
        /// The node.
        node: String,
        /// Its operator.
        op: &'static str,
        /// Whether the key is needed or not taken.
        rule: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A name that nothing has.
    #[error("{owner}: no {what} is called `{name}`{hint}")]
    Unknown {
        /// What names it.
        owner: String,
        /// What is looked for.
        what: &'static str,
        /// The name.
        name: String,
        /// The nearest name or what there is, in words; or nothing.
        hint: String,
    },
    /// The file's images or classes are not the data's.
    #[error("the file says {what} {file}, but the data has {data}; leave it out to take the data's")]
    Data {
        /// The key.
        what: &'static str,
        /// In the file.
        file: String,
        /// In the data.
        data: String,
    },
    /// A rule that every network keeps.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A layer that no kernel can run.
    #[error(transparent)]
    Lower(#[from] LowerError),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("line {line}: {error}")]
pub struct Mistake {
    /// Where, counted from 1.
    pub line: usize,
    /// What.
    pub error: FileError,
}

/// All that is wrong with a file, by line; never empty. In words: the first one, and how many more there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// The mistakes, by line.
    pub fn list(&self) -> &[Mistake] {
        &self.0
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.0[0])?;
        match self.0.len() - 1 {
            0 => Ok(()),
            more => write!(f, "; and {more} more, which `edgeslim networks check FILE` tells"),
        }
    }
}

impl std::error::Error for Mistakes {}

/// A file with more mistakes is told these.
const MAX_MISTAKES: usize = 100;

/// The mistakes found so far.
pub(super) struct Found<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
}

impl<'a> Found<'a> {
    pub(super) fn new(text: &'a str) -> Found<'a> {
        Found { text, mistakes: Vec::new() }
    }

    /// Notes what is wrong at a byte of the text.
    pub(super) fn tell(&mut self, at: usize, error: impl FnOnce() -> FileError) {
        if self.mistakes.len() < MAX_MISTAKES {
            let line = 1 + self.text.bytes().take(at).filter(|&b| b == b'\n').count();
            self.mistakes.push(Mistake { line, error: error() });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// `value`, if nothing is wrong.
    pub(super) fn or_mistakes<T>(mut self, value: T) -> Result<T, Mistakes> {
        if self.is_empty() {
            return Ok(value);
        }
        self.mistakes.sort_by_key(|mistake| mistake.line);
        Err(Mistakes(self.mistakes))
    }
}
