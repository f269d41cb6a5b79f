//! Uniform networks against AutoSlim's at three measured budgets (AutoSlim, arXiv 1903.11728, table 2): the whole pipeline,
//! from the board's cost table to int8 networks on it.

use super::lab::Lab;
use super::{ACCURACY, Outcome, finding};
use crate::config::{NetworkConfig, RunConfig};
use crate::stage::{self, Context, Overrides};
use anyhow::{Context as _, Result};
use reports::experiment::{Finding, Mark, Panel, Point, Scale, Series};
use reports::interval::Interval;
use reports::record::{CandidateRecord, Provenance, VerifyRecord, load};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const BOARD: &str = "virtual-m4";
/// The supernet's range of widths.
const WIDTHS: [f64; 2] = [0.15, 1.5];
const STRATEGIES: [&str; 2] = ["uniform", "autoslim"];

/// The paper's figures of a network, or of the one that it was made for.
fn source(network: &str) -> &'static str {
    match network {
        "mobilenet-v2" => {
            "AutoSlim, 1903.11728, table 2: 27.0/25.8/24.6 % error at 207/305/505 M multiply-accumulates"
        }
        "mnasnet-b1" => {
            "AutoSlim, 1903.11728, table 2: 26.8/25.4/24.6 % error at 217/315/532 M multiply-accumulates"
        }
        "resnet-50" => {
            "AutoSlim, 1903.11728, table 2: 24.0/24.4/26.0/27.8 % error at 3.0/2.0/1.0/0.57 G multiply-accumulates"
        }
        _ => {
            "AutoSlim, 1903.11728, table 2: MobileNet v1 32.1/28.5/27.0 % error at 150/325/572 M multiply-accumulates, \
             x0.5/x0.75/x1 36.7/31.6/29.1 %"
        }
    }
}

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let (mut panels, mut findings, mut board, mut images) = (Vec::new(), Vec::new(), None, None);
    for &network in lab.scale.searched {
        let (verified, used) = verified(lab, network)?;
        images = Some(used);
        let graph = lab.network(network, WIDTHS)?;
        let curve = |strategy: &str| -> Vec<&CandidateRecord> {
            verified.candidates.iter().filter(|c| c.strategy == strategy).collect()
        };
        let series = |name: &str, strategy: &str, mark: Mark| {
            let point = |c: &&CandidateRecord| {
                point(c, graph.counts(&crate::network::Channels(c.channels.clone())).params)
            };
            let points = curve(strategy).iter().map(point).collect::<Option<Vec<_>>>();
            let points =
                points.with_context(|| format!("{network}: a network has no accuracy or latency"))?;
            anyhow::Ok(Series { name: name.into(), mark, points })
        };
        let unit = verified.provenance.unit_in_words();
        panels.push(Panel {
            title: network.into(),
            x: format!("latency of an image ({unit})"),
            x_scale: Scale::Linear,
            y: ACCURACY.into(),
            series: vec![
                series("full network", "full", Mark::Dots)?,
                series("uniform", STRATEGIES[0], Mark::Line)?,
                series("AutoSlim", STRATEGIES[1], Mark::Line)?,
            ],
        });
        let pairs = curve(STRATEGIES[0]).into_iter().zip(curve(STRATEGIES[1]));
        findings.extend(pairs.map(|(uniform, found)| claim(network, uniform, found)));
        board = Some(board_in_words(&verified.provenance));
    }
    Ok(Outcome {
        title: "Uniform networks and AutoSlim's at measured budgets".into(),
        board,
        images,
        panels,
        findings,
    })
}

fn board_in_words(provenance: &Provenance) -> String {
    let Provenance { board, core, .. } = provenance;
    let what = provenance.emulated_in_words();
    if provenance.emulated {
        format!("{board} ({core}), emulated: {what}, not time on a real board")
    } else {
        format!("{board} ({core})")
    }
}

/// Runs all stages, or those that are left; also the training and test images that they used, which are all of the set.
fn verified(lab: &Lab, network: &str) -> Result<(VerifyRecord, [usize; 2])> {
    let dir = lab.dir.join("runs").join(network);
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let path = dir.join("edgeslim.toml");
    crate::run::write_atomic(&path, toml::to_string(&config(lab, network, &path)?)?.as_bytes())?;
    let flags = Overrides { threads: lab.threads, device: lab.choice, ..Overrides::default() };
    let ctx =
        Context::open(&dir, &flags, lab.ui, Arc::clone(&lab.stop)).with_context(|| network.to_owned())?;
    stage::run(&ctx).with_context(|| network.to_owned())?;
    let images = [ctx.data.train.images().len(), ctx.data.test.images().len()];
    Ok((load(&ctx.dir.path("verify.json"))?, images))
}

/// The template with what this experiment asks for.
fn config(lab: &Lab, network: &str, path: &Path) -> Result<RunConfig> {
    let mut config = RunConfig::parse(RunConfig::TEMPLATE, path)?;
    config.seed = lab.scale.seeds[0];
    config.board = BOARD.into();
    let [min_width, max_width] = WIDTHS;
    let bin_multiple = lab.scale.searched_multiple;
    config.network = NetworkConfig { name: network.into(), max_width, min_width, bin_multiple };
    // A relative path would be taken from the run's folder.
    let dataset = PathBuf::from(&lab.dataset);
    config.data.path = match dataset.canonicalize() {
        Ok(absolute) if dataset.is_dir() => absolute.display().to_string(),
        _ => lab.dataset.clone(),
    };
    config.data.search_images = lab.scale.held_out;
    config.data.augment = true;
    config.profile.samples = 1;
    config.train.recipe = lab.recipe();
    config.retrain.recipe = lab.recipe();
    config.retrain.seeds = lab.scale.seeds.len();
    config.search.strategies = STRATEGIES.map(String::from).to_vec();
    config.search.budgets = lab.scale.searched_budgets.iter().map(|&budget| budget.into()).collect();
    config.search.recalibration_images = lab.scale.calibration_images;
    config.verify.all_images.clear();
    Ok(config)
}

/// `None` where it has no accuracy or latency.
fn point(candidate: &CandidateRecord, params: u64) -> Option<Point> {
    let more = [
        ("macs", candidate.macs),
        ("params", params),
        ("ram_bytes", candidate.ram_bytes_measured.unwrap_or(candidate.ram_bytes_predicted)),
        ("flash_bytes", candidate.flash_bytes),
    ];
    Some(Point {
        label: candidate.name.clone(),
        x: candidate.latency()?,
        y: Interval::of(&accuracies(candidate))?,
        more: more.map(|(name, value)| (name.to_owned(), value as f64)).to_vec(),
    })
}

/// On the test images, percent, one a seed.
fn accuracies(candidate: &CandidateRecord) -> Vec<f64> {
    candidate.seeds.iter().map(|seed| 100.0 * seed.accuracy_float).collect()
}

fn claim(network: &str, uniform: &CandidateRecord, found: &CandidateRecord) -> Finding {
    finding(
        &format!("{network}, {}: AutoSlim's network is better than the uniform one", budget(found)),
        source(network),
        "accuracy of AutoSlim's less the uniform one's, points; of one supernet and search, over seeds of the retraining",
        &accuracies(found),
        &accuracies(uniform),
    )
}

/// What is behind the strategy's name, in words: `latency 50%`.
fn budget(candidate: &CandidateRecord) -> String {
    candidate.name.trim_start_matches(&format!("{}-", candidate.strategy)).replace('-', " ")
}
