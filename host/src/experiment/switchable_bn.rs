//! Naive against switchable batch norm (S-Net, arXiv 1812.08928, figure 2): with the naive one a slimmable network trains,
//! and fails as soon as it is evaluated.

use super::lab::Lab;
use super::{Outcome, SMALLEST, finding, ratios};
use crate::train::sandwich::GRADIENT_SCALE;
use crate::train::{BatchNorm, Switches, System, Width};
use anyhow::Result;
use reports::experiment::{Mark, Panel, Point, Scale, Series};
use reports::interval::Interval;
use reports::record::EpochRecord;

const NETWORK: &str = "mobilenet-v1";
const SOURCE: &str = "S-Net, 1812.08928, figure 2: with naive batch norm the largest network's training error falls, its \
                      validation error stays at that of guessing for all switches";

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let graph = lab.network(NETWORK, [SMALLEST, 1.0])?;
    let widths = ratios(&graph, &Switches::RATIOS);
    let (mut panels, mut last) = (Vec::new(), Vec::new());
    for (title, batch_norm) in
        [("naive batch norm", BatchNorm::Naive), ("switchable batch norm", BatchNorm::Switchable)]
    {
        let switches =
            Switches { batch_norm, gradient_scale: GRADIENT_SCALE, ..Switches::of(widths.clone()) };
        let mut histories = Vec::new();
        for &seed in &lab.scale.seeds {
            let system = System::SNet(switches.clone());
            histories.push(lab.train(title, &graph, &system, seed)?.history);
        }
        panels.push(panel(title, &widths, &histories));
        last.push(last_errors(&histories, widths.len()));
    }
    let claim = |place: usize| {
        finding(
            &format!("{NETWORK}: naive batch norm fails at {}", widths[place]),
            SOURCE,
            "validation error after the last epoch, naive less switchable, points",
            &last[0][place],
            &last[1][place],
        )
    };
    let findings = vec![claim(0), claim(widths.len() - 1)];
    Ok(Outcome {
        title: "Batch norm of a slimmable network".into(),
        board: None,
        images: None,
        panels,
        findings,
    })
}

/// Percent, of every width one a seed.
fn last_errors(histories: &[Vec<EpochRecord>], n_widths: usize) -> Vec<Vec<f64>> {
    let last = |place: usize| histories.iter().map(|h| error(&h[h.len() - 1], place)).collect();
    (0..n_widths).map(last).collect()
}

fn error(epoch: &EpochRecord, place: usize) -> f64 {
    100.0 * (1.0 - epoch.accuracies[place])
}

fn panel(title: &str, widths: &[Width], histories: &[Vec<EpochRecord>]) -> Panel {
    let n_epochs = histories[0].len();
    let points = |of: &dyn Fn(&EpochRecord) -> f64| -> Vec<Point> {
        let at = |epoch: usize| {
            let values: Vec<f64> = histories.iter().map(|history| of(&history[epoch])).collect();
            let y = Interval::of(&values).expect("a scale has a seed");
            let x = (epoch + 1) as f64;
            Point { label: format!("epoch {x}"), x, y, more: vec![] }
        };
        (0..n_epochs).map(at).collect()
    };
    let training =
        |epoch: &EpochRecord| 100.0 * epoch.train_error.expect("every training counts the largest's errors");
    let mut series =
        vec![Series { name: "training, x1".into(), mark: Mark::Line, points: points(&training) }];
    for (place, width) in widths.iter().enumerate() {
        let points = points(&|epoch| error(epoch, place));
        series.push(Series { name: format!("validation, {width}"), mark: Mark::Line, points });
    }
    Panel { title: title.into(), x: "epoch".into(), x_scale: Scale::Linear, y: "error (%)".into(), series }
}
