//! Training curves: loss, and accuracy where it was evaluated.

use std::path::Path;

use plotters::prelude::*;

use crate::axes::{Axis, Scale, chart};
use crate::chart::{Area, Caption, ChartError, Marker, PALETTE, SIZE, header, render};
use crate::record::{EpochRecord, RunRecord};

/// One training's curves.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// What was trained.
    pub name: String,
    /// Epoch and mean loss, nats.
    pub loss: Vec<(f64, f64)>,
    /// Epoch and accuracy, %.
    pub accuracy: Vec<(f64, f64)>,
}

/// What the figure shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// Where the numbers come from.
    pub caption: Caption,
    /// Trainings in order.
    pub curves: Vec<Curve>,
}

/// The figure's data. An epoch whose loss isn't finite is left out.
///
/// # Errors
/// [`ChartError::Empty`] if no training has an epoch.
pub fn series(run: &RunRecord) -> Result<Data, ChartError> {
    let finite = |points: Vec<(f64, f64)>| points.into_iter().filter(|p| p.1.is_finite()).collect();
    let loss = |e: &EpochRecord| (e.epoch as f64, e.loss);
    let accuracy = |e: &EpochRecord| Some((e.epoch as f64, e.accuracy? * 100.0));
    let curves = run.trainings.iter().filter(|t| !t.epochs.is_empty()).map(|t| Curve {
        name: t.name.clone(),
        loss: finite(t.epochs.iter().map(loss).collect()),
        accuracy: finite(t.epochs.iter().filter_map(accuracy).collect()),
    });
    let curves: Vec<Curve> = curves.collect();
    if curves.is_empty() {
        return Err(ChartError::Empty { figure: "training", what: "epoch of a training" });
    }
    Ok(Data { caption: Caption::new(&run.provenance), curves })
}

/// Draws the figure.
///
/// # Errors
/// [`ChartError`] if it can't be drawn or written.
pub fn draw(data: &Data, path: &Path) -> Result<(), ChartError> {
    let color = |i: usize| PALETTE[i % PALETTE.len()];
    let entry = |(i, c): (usize, &Curve)| (c.name.clone(), color(i), Marker::Square);
    let legend: Vec<_> = data.curves.iter().enumerate().map(entry).collect();
    render(path, SIZE, |area| {
        let below = header(area, "Training", &data.caption.subtitle, &legend)?;
        if data.curves.iter().all(|c| c.accuracy.is_empty()) {
            return panel(&below, "training loss (nats)", data, |c| &c.loss);
        }
        let (left, right) = below.split_horizontally(SIZE.0 / 2);
        panel(&left, "training loss (nats)", data, |c| &c.loss)?;
        panel(&right, "accuracy on search images (%)", data, |c| &c.accuracy)
    })
}

fn panel(
    area: &Area,
    label: &str,
    data: &Data,
    points: impl Fn(&Curve) -> &Vec<(f64, f64)>,
) -> Result<(), ChartError> {
    let all = || data.curves.iter().flat_map(&points);
    let mut x = Axis::around("epoch", all().map(|p| p.0), Scale::Linear);
    (x.low, x.high) = (0.0, x.high.max(5.0));
    let y = Axis::around(label, all().map(|p| p.1), Scale::Linear);
    let mut chart = chart(area, &x, &y)?;
    for (i, curve) in data.curves.iter().enumerate() {
        let style = PALETTE[i % PALETTE.len()].stroke_width(3);
        chart.draw_series(LineSeries::new(points(curve).iter().copied(), style))?;
        if let Some(&end) = points(curve).last() {
            chart.draw_series([Circle::new(end, 6, style.filled())])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::record::TrainingRecord;

    #[test]
    fn accuracies_are_in_percent_and_only_where_evaluated() {
        let at =
            |epoch, accuracy| EpochRecord { epoch, loss: 1.0, accuracy, lr: 0.1, ..EpochRecord::default() };
        let epochs = vec![at(1, None), at(2, Some(0.5))];
        let trainings = vec![TrainingRecord { name: "supernet".into(), epochs }];
        let data = series(&RunRecord { trainings, ..Default::default() }).unwrap();
        assert_eq!(data.curves[0].accuracy, [(2.0, 50.0)]);
        assert_eq!(data.curves[0].loss.len(), 2);
    }

    #[test]
    fn a_loss_that_is_not_a_number_is_left_out() {
        let mut run = example::run();
        run.trainings[0].epochs[0].loss = f64::NAN;
        let n = run.trainings[0].epochs.len();
        assert_eq!(series(&run).unwrap().curves[0].loss.len(), n - 1);
    }

    #[test]
    fn a_run_without_trainings_is_refused() {
        assert!(matches!(series(&RunRecord::default()), Err(ChartError::Empty { .. })));
    }
}
