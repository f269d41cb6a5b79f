//! `doctor`: whether this machine, and a board, can be worked with.

mod board;
mod machine;

use crate::board::{ProbeOptions, load};
use crate::ui::message;
use anyhow::Result;
use serde::Serialize;
use std::fmt;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it is.
    pub outcome: Outcome,
    /// What was found, or what a check that was not made waits for.
    pub fact: String,
    /// What to do about a warning or a failure.
    pub next: Option<String>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Of no harm to what was asked for.
    Warning,
    /// In the way of what was asked for.
    Failed,
    /// Something that it needs failed.
    NotChecked,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Failed => "failed",
            Outcome::NotChecked => "not checked",
        })
    }
}

/// Is told of every check as soon as it is made; its error ends the examination.
pub type Tell<'a> = dyn FnMut(Check) -> Result<()> + 'a;

/// Looks at the toolchain, QEMU and the probes that are attached, and at `board` (a name or file) if there is one:
/// its file, its firmware and the board itself.
///
/// # Errors
/// Those of `tell`; what is wrong with the machine or the board is a [`Check`].
pub fn examine(board: Option<&str>, options: &ProbeOptions, tell: &mut Tell<'_>) -> Result<()> {
    let loaded = board.map(load);
    let lacking = machine::examine(loaded.as_ref().and_then(|loaded| loaded.as_ref().ok()), tell)?;
    match board.zip(loaded) {
        None => Ok(()),
        Some((name, loaded)) => board::examine(name, loaded, lacking, options, tell),
    }
}

impl Check {
    fn ok(name: &'static str, fact: impl Into<String>) -> Check {
        Check { name, outcome: Outcome::Ok, fact: fact.into(), next: None }
    }

    fn warning(name: &'static str, fact: impl Into<String>, next: impl Into<String>) -> Check {
        Check { name, outcome: Outcome::Warning, fact: fact.into(), next: Some(next.into()) }
    }

    fn failed(name: &'static str, fact: impl Into<String>, next: impl Into<String>) -> Check {
        Check { name, outcome: Outcome::Failed, fact: fact.into(), next: Some(next.into()) }
    }

    fn not_checked(name: &'static str, needs: &str) -> Check {
        Check { name, outcome: Outcome::NotChecked, fact: format!("needs: {needs}"), next: None }
    }

    /// What an error says behind its first semicolon is the next step; `next` is for errors that say none.
    fn of_error(name: &'static str, error: impl Into<anyhow::Error>, next: &str) -> Check {
        let told = message(error.into().as_ref());
        match told.split_once("; ") {
            Some((fact, next)) => Check::failed(name, fact, next),
            None => Check::failed(name, told, next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::BoardError;

    #[test]
    fn the_next_step_of_an_error_is_told_once() {
        let (board, wanted, attached) = ("desk".to_owned(), None, vec![]);
        let check = Check::of_error("probe", BoardError::NoProbe { board, wanted, attached }, "other");
        assert_eq!(check.fact, "desk: no debug probe found");
        assert!(check.next.unwrap().starts_with("connect one and check its cable"));
        let check = Check::of_error("probe", anyhow::anyhow!("a fact alone"), "do this");
        assert_eq!((check.fact.as_str(), check.next.as_deref()), ("a fact alone", Some("do this")));
    }
}
