//! The networks of a trained system: their batch-norm statistics, and how well they answer.

use super::evaluate::{Evaluation, evaluate};
use super::recalibrate::recalibrate_on;
use super::switches::{BatchNorm, Switches};
use super::{System, Width};
use crate::dataset::{Normalisation, SearchSplit, TrainSplit};
use crate::engine::{Engine, NodeStatistics, Statistics};
use crate::network::{ChannelMap, Graph};
use candle_core::{Result, bail};

/// Training images that running statistics are averaged over.
#[derive(Debug, Clone, Copy)]
pub struct Calibration<'a> {
    /// Where they are taken from.
    pub data: &'a TrainSplit,
    /// Their mean and deviation.
    pub normalisation: &'a Normalisation,
    /// How many, about 1000 in the papers.
    pub n_images: usize,
}

/// A network of a trained system with its batch-norm statistics.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibrated {
    /// The network.
    pub width: Width,
    /// Whose γ and β it has.
    pub switch: usize,
    /// Its running statistics.
    pub statistics: Statistics,
}

impl Calibrated {
    /// Makes the engine ready to evaluate it.
    ///
    /// # Errors
    /// If the engine has no such switch.
    pub fn load(&self, engine: &dyn Engine) -> Result<()> {
        engine.set_switch(self.switch)?;
        engine.set_statistics(&self.statistics);
        Ok(())
    }
}

/// The batch-norm statistics that `widths` of a trained system are evaluated with.
///
/// The papers keep a running average while they train; engines keep none, so it is taken after training, of the same
/// statistics of batches, with the final weights. I-Net and switchable batch norm: of each network's own. Naive batch
/// norm: every channel has the mean over all switches that it is active in, as they all update one running average; so
/// the statistics are none of a single switch's, which is what makes it naive. Supernets: recalibrated for each network
/// (US-Net, section 3.3).
///
/// The engine has statistics of the last one afterwards; [`Calibrated::load`] sets those of another.
///
/// # Errors
/// What the engine returns; a width that is no switch of an S-Net, or not the I-Net.
pub fn calibrate_widths(
    engine: &dyn Engine,
    system: &System,
    widths: &[Width],
    calibration: Calibration<'_>,
) -> Result<Vec<Calibrated>> {
    if let System::SNet(switches @ Switches { batch_norm: BatchNorm::Naive, .. }) = system {
        let own = |width: &Width| own_statistics(engine, width, 0, calibration);
        let own: Vec<Statistics> = switches.widths.iter().map(own).collect::<Result<_>>()?;
        let shared = shared_statistics(engine.graph(), switches, &own);
        let one = |width: &Width| {
            let statistics = shared[place(switches, width)?].clone();
            Ok(Calibrated { width: width.clone(), switch: 0, statistics })
        };
        return widths.iter().map(one).collect();
    }
    let one = |width: &Width| {
        let switch = switch(system, width)?;
        let statistics = own_statistics(engine, width, switch, calibration)?;
        Ok(Calibrated { width: width.clone(), switch, statistics })
    };
    widths.iter().map(one).collect()
}

/// Calibrates `widths` and evaluates each on images that training and search may see; for test images use
/// [`calibrate_widths`] and [`test_logits`](super::test_logits).
///
/// # Errors
/// Those of [`calibrate_widths`] and [`evaluate`].
pub fn evaluate_widths(
    engine: &dyn Engine,
    system: &System,
    widths: &[Width],
    images: &SearchSplit,
    calibration: Calibration<'_>,
) -> Result<Vec<Evaluation>> {
    let calibrated = calibrate_widths(engine, system, widths, calibration)?;
    let one = |network: &Calibrated| {
        network.load(engine)?;
        evaluate(engine, &network.width.channels, images, calibration.normalisation)
    };
    let evaluations = calibrated.iter().map(one).collect::<Result<_>>()?;
    engine.set_switch(0)?;
    Ok(evaluations)
}

/// The batch norm of `width`.
fn switch(system: &System, width: &Width) -> Result<usize> {
    match system {
        System::INet(only) if only.channels != width.channels => bail!("{width}: the i-net is {only}"),
        System::SNet(switches) => Ok(switches.batch_norm.switch(place(switches, width)?)),
        _ => Ok(0),
    }
}

fn place(switches: &Switches, width: &Width) -> Result<usize> {
    match switches.widths.iter().position(|other| other.channels == width.channels) {
        Some(place) => Ok(place),
        None => bail!("{width}: no switch of the s-net"),
    }
}

fn own_statistics(
    engine: &dyn Engine,
    width: &Width,
    switch: usize,
    calibration: Calibration<'_>,
) -> Result<Statistics> {
    let Calibration { data, normalisation, n_images } = calibration;
    engine.set_switch(switch)?;
    recalibrate_on(engine, &width.channels, data, normalisation, n_images)?;
    Ok(engine.statistics())
}

/// Of every switch, the means over all switches that have a channel; `own` has the switches' own.
fn shared_statistics(graph: &Graph, switches: &Switches, own: &[Statistics]) -> Vec<Statistics> {
    let maps: Vec<Vec<ChannelMap>> =
        switches.widths.iter().map(|width| graph.channel_maps(&width.channels)).collect();
    let widest = graph.node_channels(&graph.widest());
    let mut shared = own.to_vec();
    for (node, &n_stored) in widest.iter().enumerate() {
        let mut sums = vec![(0.0f64, 0.0f64, 0.0f64); n_stored];
        for (maps, statistics) in maps.iter().zip(own) {
            let Some(NodeStatistics { mean, variance }) = &statistics.nodes[node] else { continue };
            for ((channel, &mean), &variance) in maps[node].indices().zip(mean).zip(variance) {
                let (means, variances, n) = &mut sums[channel];
                (*means, *variances, *n) =
                    (*means + f64::from(mean), *variances + f64::from(variance), *n + 1.0);
            }
        }
        for (maps, statistics) in maps.iter().zip(&mut shared) {
            let Some(NodeStatistics { mean, variance }) = &mut statistics.nodes[node] else { continue };
            for ((channel, mean), variance) in maps[node].indices().zip(mean).zip(variance) {
                let (means, variances, n) = sums[channel];
                (*mean, *variance) = ((means / n) as f32, (variances / n) as f32);
            }
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Images, hold_out};
    use crate::engine::Mode;
    use crate::network::Channels;
    use crate::train::Sandwich;
    use crate::train::tests::tiny_engine;

    fn data() -> (TrainSplit, SearchSplit, Normalisation) {
        let pixels = (0..60 * 4).map(|i| (i * i * 37 % 251) as u8).collect();
        let images = Images::new(2, 2, 1, pixels, (0..60).map(|i| i % 2).collect()).unwrap();
        let (train, search) = hold_out(&images, 20, 1);
        let normalisation = Normalisation::of(&train);
        (train, search, normalisation)
    }

    fn widths(counts: &[usize]) -> Vec<Width> {
        counts.iter().map(|&count| Channels(vec![count]).into()).collect()
    }

    fn s_net(batch_norm: BatchNorm) -> System {
        System::SNet(Switches { batch_norm, ..Switches::of(widths(&[2, 6, 4])) })
    }

    #[test]
    fn a_channel_of_naive_batch_norm_has_the_mean_over_the_switches_that_it_is_in() -> Result<()> {
        let ((train, _, normalisation), engine) = (data(), tiny_engine(1));
        let calibration = Calibration { data: &train, normalisation: &normalisation, n_images: 40 };
        let graph = engine.graph().clone();
        // Statistics of their own, as a network that is deeper than one layer has.
        let own = |first: f32, n: usize| {
            let mean: Vec<f32> = (0..n).map(|i| first + i as f32).collect();
            let variance = mean.iter().map(|m| 10.0 * m).collect();
            Statistics { n_batches: 1, nodes: vec![None, Some(NodeStatistics { mean, variance }), None] }
        };
        let System::SNet(switches) = s_net(BatchNorm::Naive) else { unreachable!() };
        let shared = shared_statistics(&graph, &switches, &[own(1.0, 2), own(4.0, 6), own(10.0, 4)]);
        let node = |i: usize| shared[i].nodes[1].clone().unwrap();
        assert_eq!(node(0).mean, [5.0, 6.0], "(1 + 4 + 10) / 3 and (2 + 5 + 11) / 3");
        assert_eq!(node(2).mean, [5.0, 6.0, 9.0, 10.0], "… (6 + 12) / 2 and (7 + 13) / 2");
        assert_eq!(node(1).mean, [5.0, 6.0, 9.0, 10.0, 8.0, 9.0], "… 8 and 9, the widest's alone");
        assert_eq!(node(1).variance, [50.0, 60.0, 90.0, 100.0, 80.0, 90.0]);
        let calibrated = calibrate_widths(&engine, &s_net(BatchNorm::Naive), &widths(&[4]), calibration)?;
        assert_eq!(calibrated[0].statistics.nodes[1].as_ref().unwrap().mean.len(), 4);
        Ok(())
    }

    #[test]
    fn every_switch_is_evaluated_with_its_own_batch_norm() -> Result<()> {
        let ((train, search, normalisation), engine) = (data(), tiny_engine(3));
        let calibration = Calibration { data: &train, normalisation: &normalisation, n_images: 40 };
        for (switch, factor) in [(0, 1.0), (1, 3.0), (2, -2.0)] {
            let gamma = engine.params().get(&format!("stem.gamma.{switch}"))?;
            gamma.set(&gamma.affine(factor, 0.0)?)?;
        }
        let (system, asked) = (s_net(BatchNorm::Switchable), widths(&[4, 6, 2]));
        let found = evaluate_widths(&engine, &system, &asked, &search, calibration)?;
        for ((width, switch), found) in asked.iter().zip([2, 1, 0]).zip(found) {
            engine.set_switch(switch)?;
            recalibrate_on(&engine, &width.channels, &train, &normalisation, 40)?;
            assert_eq!(evaluate(&engine, &width.channels, &search, &normalisation)?, found);
        }
        for network in calibrate_widths(&engine, &system, &asked, calibration)? {
            network.load(&engine)?;
            let images = normalisation.batch(search.images(), &[0, 1], engine.device())?;
            engine.logits(&images, &network.width.channels, Mode::Evaluate)?;
        }
        Ok(())
    }

    #[test]
    fn a_width_that_was_not_trained_is_refused() {
        let ((train, _, normalisation), engine) = (data(), tiny_engine(1));
        let calibration = Calibration { data: &train, normalisation: &normalisation, n_images: 40 };
        let told = |system: &System, count: usize| {
            calibrate_widths(&engine, system, &widths(&[count]), calibration).unwrap_err().to_string()
        };
        assert!(told(&s_net(BatchNorm::Naive), 5).contains("no switch of the s-net"));
        assert!(told(&System::INet(Channels(vec![2]).into()), 4).contains("4: the i-net is 2"));
        let us_net = System::UsNet(Sandwich::default());
        assert!(calibrate_widths(&engine, &us_net, &widths(&[4]), calibration).is_ok());
    }
}
