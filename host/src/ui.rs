//! Results on the standard output; progress for people on the error stream, nothing where that is no terminal or JSON was
//! asked for.

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt;
use std::io::Write as _;
use std::time::Duration;

/// Writes text to the standard output at once, and tells where that fails.
///
/// # Errors
/// What the system says, such as of a full disk or a closed pipe.
pub fn put(text: fmt::Arguments<'_>) -> Result<()> {
    let mut out = std::io::stdout();
    out.write_fmt(text).and_then(|()| out.flush()).context("standard output")
}

/// A line on the error stream; where that is full or closed there is nobody to tell.
pub fn complain(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", line.as_ref());
}

/// Whether and how progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ui {
    /// Bars, and lines about what a stage does.
    People,
    /// Nothing but errors: a script reads the result.
    Script,
}

impl Ui {
    /// A line on the error stream.
    pub fn say(self, line: impl AsRef<str>) {
        if self == Ui::People {
            complain(line);
        }
    }

    /// A bar of `len` steps.
    pub fn bar(self, what: &str, len: usize) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(len as u64), self.target());
        let style = "{prefix:<12} [{bar:30}] {pos}/{len}, {eta} left  {msg}";
        bar.set_style(
            ProgressStyle::with_template(style).expect("the template is valid").progress_chars("=> "),
        );
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        bar
    }

    fn target(self) -> ProgressDrawTarget {
        match self {
            Ui::People => ProgressDrawTarget::stderr(),
            Ui::Script => ProgressDrawTarget::hidden(),
        }
    }
}

/// An error and its causes, each once: many errors tell their cause themselves.
pub fn message(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        before if before.contains(cause.trim_end_matches('.')) => told,
        before => format!("{}: {cause}", before.trim_end_matches('.')),
    })
}
