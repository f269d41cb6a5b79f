//! Draws what was recorded; never evaluates again.

pub mod axes;
pub mod chart;
mod check;
#[doc(hidden)]
pub mod example;
pub mod experiment;
pub mod figures;
pub mod interval;
pub mod page;
pub mod record;
mod summary;

use std::path::{Path, PathBuf};

use chart::ChartError;
use figures::{accuracy_latency, channels, latency_macs, predicted_measured, training};
use page::Figure;
use record::{RecordError, RunRecord, write_atomically};

/// File names of the figures that `run` has data for, in the page's order.
pub fn chart_names(run: &RunRecord) -> Vec<&'static str> {
    FIGURES.iter().filter(|(_, _, prepare)| prepare(run).is_ok()).map(|(name, ..)| *name).collect()
}

/// Draws the figures of [`chart_names`] into `dir` (made if missing), and the page `index.html` with all of them.
/// Returns the paths of the PNGs, in the page's order, then the page's.
///
/// # Errors
/// [`RecordError::Figure`] before anything is written; [`ChartError::Empty`] if there is nothing to draw at all; others if drawing or writing fails.
pub fn draw_all(run: &RunRecord, dir: &Path) -> Result<Vec<PathBuf>, ChartError> {
    run.check()?;
    std::fs::create_dir_all(dir).map_err(|source| ChartError::Folder { path: dir.into(), source })?;
    let mut paths = Vec::new();
    let mut figures = Vec::new();
    for (name, title, prepare) in FIGURES {
        let drawing = match prepare(run) {
            Err(ChartError::Empty { .. }) => continue,
            prepared => prepared?,
        };
        let path = dir.join(name);
        drawing(&path)?;
        let png = std::fs::read(&path).map_err(|source| RecordError::Read { path: path.clone(), source })?;
        figures.push(Figure { title: title.into(), png });
        paths.push(path);
    }
    if figures.is_empty() {
        return Err(ChartError::Empty { figure: "report", what: "data for any figure" });
    }
    let path = dir.join("index.html");
    write_atomically(page::html(run, &figures).as_bytes(), &path)?;
    paths.push(path);
    Ok(paths)
}

/// Takes a figure's data from a run, or says that there is none.
type Prepare = fn(&RunRecord) -> Result<Drawing, ChartError>;
/// Draws that data into a file.
type Drawing = Box<dyn FnOnce(&Path) -> Result<(), ChartError>>;

/// File name, title and drawing of every figure, in the page's order.
const FIGURES: [(&str, &str, Prepare); 5] = [
    ("accuracy-latency.png", "Accuracy against latency", |run| {
        drawing(accuracy_latency::series(run)?, accuracy_latency::draw)
    }),
    ("channels.png", "Channels of each unit", |run| drawing(channels::series(run)?, channels::draw)),
    ("predicted-measured.png", "Predicted against measured latency", |run| {
        drawing(predicted_measured::series(run)?, predicted_measured::draw)
    }),
    ("latency-macs.png", "Latency of a layer against its MACs", |run| {
        drawing(latency_macs::series(run)?, latency_macs::draw)
    }),
    ("training.png", "Training", |run| drawing(training::series(run)?, training::draw)),
];

fn drawing<D: 'static>(
    data: D,
    draw: fn(&D, &Path) -> Result<(), ChartError>,
) -> Result<Drawing, ChartError> {
    Ok(Box::new(move |path| draw(&data, path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_twice_gives_the_same_bytes() {
        let run = example::run();
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = draw_all(&run, a.path()).unwrap();
        let second = draw_all(&run, b.path()).unwrap();
        assert_eq!(first.len(), 6);
        for (x, y) in first.iter().zip(&second) {
            assert_eq!(x.file_name(), y.file_name());
            assert!(std::fs::read(x).unwrap() == std::fs::read(y).unwrap(), "{}", x.display());
        }
    }

    #[test]
    fn an_empty_run_is_an_error_that_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let error = draw_all(&RunRecord::default(), dir.path()).unwrap_err();
        assert!(matches!(error, ChartError::Empty { .. }), "{error}");
    }

    #[test]
    fn a_run_that_was_cut_short_gets_the_figures_it_has_data_for() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunRecord { candidates: Vec::new(), ..example::run() };
        let paths = draw_all(&run, dir.path()).unwrap();
        let names: Vec<_> = paths.iter().filter_map(|p| p.file_name()?.to_str()).collect();
        assert_eq!(names, ["training.png", "index.html"]);
        assert_eq!(chart_names(&run), ["training.png"]);
    }
}
