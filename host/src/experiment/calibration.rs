//! How many images batch-norm statistics need (US-Net, arXiv 1903.05134, section 3.3).

use super::lab::Lab;
use super::{ACCURACY, AS_GOOD, Outcome, SMALLEST, finding, ratios};
use crate::train::{Sandwich, Switches, System, Width, calibrate_widths};
use anyhow::{Result, ensure};
use reports::experiment::{Finding, Mark, Panel, Point, Scale, Series};
use reports::interval::Interval;

const NETWORK: &str = "mobilenet-v1";
const SOURCE: &str =
    "US-Net, 1903.05134, section 3.3: about 1000 random images give statistics that are as good as all";
/// Images of the statistics.
const COUNTS: [usize; 6] = [10, 30, 100, 300, 1000, 5000];

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let graph = lab.network(NETWORK, [SMALLEST, 1.0])?;
    let widths = ratios(&graph, &Switches::RATIOS);
    let system = System::UsNet(Sandwich::default());
    let n_images = lab.train.images().len();
    let counts: Vec<usize> = COUNTS.into_iter().filter(|&n| n <= n_images).collect();
    ensure!(counts.len() > 1, "{n_images} training images are too few to compare {} with more", COUNTS[0]);
    // [widths][counts][seeds]
    let mut accuracies = vec![vec![Vec::new(); counts.len()]; widths.len()];
    for &seed in &lab.scale.seeds {
        let trained = lab.train("us-net", &graph, &system, seed)?;
        for (i, &count) in counts.iter().enumerate() {
            let networks = calibrate_widths(&*trained.engine, &system, &widths, lab.calibration(count))?;
            for (network, of_width) in networks.iter().zip(&mut accuracies) {
                of_width[i].push(lab.accuracy(&*trained.engine, network)?);
            }
        }
    }
    let line = |(width, values): (&Width, &Vec<Vec<f64>>)| {
        let point = |(&n, values): (&usize, &Vec<f64>)| {
            let y = Interval::of(values).expect("a scale has a seed");
            Point { label: format!("{n} images"), x: n as f64, y, more: vec![] }
        };
        let points = counts.iter().zip(values).map(point).collect();
        Series { name: width.to_string(), mark: Mark::Line, points }
    };
    let panel = Panel {
        title: NETWORK.into(),
        x: "training images behind batch-norm statistics".into(),
        x_scale: Scale::Log,
        y: ACCURACY.into(),
        series: widths.iter().zip(&accuracies).map(line).collect(),
    };
    let findings = claims(&counts, &accuracies[0]);
    Ok(Outcome {
        title: "Images of the recalibration".into(),
        board: None,
        images: None,
        panels: vec![panel],
        findings,
    })
}

/// Of the smallest width: `[counts][seeds]`.
fn claims(counts: &[usize], accuracies: &[Vec<f64>]) -> Vec<Finding> {
    let (few, most) = (&accuracies[0], &accuracies[counts.len() - 1]);
    let mut claims = vec![finding(
        "a recalibration on a handful of images is not enough",
        SOURCE,
        &format!(
            "accuracy of x0.25 with {} images less with {}, points",
            counts[counts.len() - 1],
            counts[0]
        ),
        most,
        few,
    )];
    if let Some(i) = counts.iter().position(|&n| n == 1000).filter(|i| i + 1 < counts.len()) {
        let allowed: Vec<f64> = accuracies[i].iter().map(|accuracy| accuracy + AS_GOOD).collect();
        claims.push(finding(
            "1000 images are as good as many more",
            SOURCE,
            &format!(
                "{AS_GOOD} points less what x0.25 gains from {} images instead of 1000, points",
                counts[counts.len() - 1]
            ),
            &allowed,
            most,
        ));
    }
    claims
}
