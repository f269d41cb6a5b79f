//! How universally slimmable networks are trained: lower bound, subnets a step, distillation (US-Net, section 4).

use super::lab::{Lab, Measured};
use super::{ACCURACY, AS_GOOD, Outcome, SMALLEST, finding, gains, line, means, ratios};
use crate::train::sandwich::Target;
use crate::train::{Sandwich, System};
use anyhow::Result;
use reports::experiment::{Finding, Panel, Scale, Series};

const NETWORK: &str = "mobilenet-v1";
const WIDTH: &str = "width ratio of all units";

/// The least width that is trained.
const BOUNDS: [f64; 4] = [0.05, 0.15, 0.25, 0.35];
/// Widths that every bound has.
const COMMON: [f64; 4] = [0.35, 0.5, 0.75, 1.0];
/// Subnets a step.
const COUNTS: [usize; 4] = [2, 3, 4, 6];

pub(super) fn lower_bound(lab: &Lab) -> Result<Outcome> {
    let mut curves = Vec::new();
    for bound in BOUNDS {
        let graph = lab.network(NETWORK, [bound, 1.0])?;
        let system = System::UsNet(Sandwich::default());
        let what = format!("from x{bound}");
        curves.push((
            format!("trained {what}"),
            lab.measure(&what, &graph, &system, &ratios(&graph, &COMMON))?,
        ));
    }
    let [lowest, highest] = [&curves[0].1[0], &curves[BOUNDS.len() - 1].1[0]];
    let findings = vec![finding(
        "a lower bound far below the widths that are used costs accuracy",
        "US-Net, 1903.05134: MobileNet v1 x0.35 has 44.7 % error when trained from x0.05, 38.0 % from x0.35",
        "accuracy of x0.35 trained from x0.35 less from x0.05, points",
        &highest.accuracies,
        &lowest.accuracies,
    )];
    Ok(outcome("Which least width a universally slimmable network is trained with", curves, findings))
}

pub(super) fn sandwich_n(lab: &Lab) -> Result<Outcome> {
    let graph = lab.network(NETWORK, [SMALLEST, 1.0])?;
    let mut curves = Vec::new();
    for n_subnets in COUNTS {
        let system = System::UsNet(Sandwich { n_subnets, ..Sandwich::default() });
        let name = format!("n = {n_subnets}");
        curves.push((name.clone(), lab.measure(&name, &graph, &system, &system.widths(&graph))?));
    }
    let findings = vec![
        gains(
            "random widths between the smallest and the largest are needed",
            "US-Net, 1903.05134, sandwich rule: n - 2 of n widths a step are random",
            "mean accuracy over widths with n = 4 less with n = 2, after as many epochs, points",
            &curves[2].1,
            &curves[0].1,
        ),
        finding(
            "four subnets a step are as good as six",
            "US-Net, 1903.05134: n = 4 is the default",
            &format!(
                "{AS_GOOD} points less what n = 6 gains over n = 4 after as many epochs, mean over widths"
            ),
            &means(&curves[2].1).iter().map(|accuracy| accuracy + AS_GOOD).collect::<Vec<_>>(),
            &means(&curves[3].1),
        ),
    ];
    Ok(outcome("How many subnets a step trains", curves, findings))
}

pub(super) fn distillation(lab: &Lab) -> Result<Outcome> {
    let graph = lab.network(NETWORK, [SMALLEST, 1.0])?;
    let mut curves = Vec::new();
    for (name, target) in [("labels for all", Target::Labels), ("in-place distillation", Target::Largest)] {
        let system = System::UsNet(Sandwich { target, ..Sandwich::default() });
        curves.push((name.to_owned(), lab.measure(name, &graph, &system, &system.widths(&graph))?));
    }
    let findings = vec![gains(
        "in-place distillation is better than labels for all",
        "US-Net, 1903.05134, section 3.4",
        "mean accuracy over widths with distillation less without, points",
        &curves[1].1,
        &curves[0].1,
    )];
    Ok(outcome("What the smaller subnets learn from", curves, findings))
}

fn outcome(title: &str, curves: Vec<(String, Vec<Measured>)>, findings: Vec<Finding>) -> Outcome {
    let by_ratio = |m: &Measured| m.at(m.width.ratio.expect("these widths are ratios"));
    let series: Vec<Series> = curves.iter().map(|(name, curve)| line(name, curve, by_ratio)).collect();
    let panel =
        Panel { title: NETWORK.into(), x: WIDTH.into(), x_scale: Scale::Linear, y: ACCURACY.into(), series };
    Outcome { title: title.into(), board: None, images: None, panels: vec![panel], findings }
}
