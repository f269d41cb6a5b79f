//! What each unit alone costs in score: a sweep around one network.

use super::SearchError;
use super::explorer::Explorer;
use super::problem::Score;
use crate::network::Channels;

/// The divergence that each bin of each unit adds to the widest network's, nats: `[unit][bin]`, all other units at their widest.
///
/// Of a unit with more than `n_measured` bins so many are measured, its ends first, then always where the scores between two
/// measured bins differ most; between them it is interpolated along channels. `done` is the share of the search that the sweep
/// is.
pub(super) fn of_widest(
    explorer: &mut Explorer<'_, '_>,
    n_measured: usize,
    done: f64,
) -> Result<Vec<Vec<f64>>, SearchError> {
    let graph = explorer.graph();
    let widest = graph.widest();
    let base = divergence(explorer, &widest)?;
    let mut marginals = Vec::with_capacity(graph.units.len());
    for (unit_idx, unit) in graph.units.iter().enumerate() {
        let mut measured = vec![None; unit.bins.len()];
        *measured.last_mut().expect("a unit has bins") = Some(0.0);
        while let Some(bin) = next_bin(&measured, n_measured.max(2)) {
            let mut channels = widest.clone();
            channels.0[unit_idx] = unit.bins[bin];
            measured[bin] = Some(divergence(explorer, &channels)? - base);
        }
        marginals.push(interpolated(&measured, &unit.bins));
        explorer.end_step(done * (unit_idx + 1) as f64 / graph.units.len() as f64)?;
    }
    Ok(marginals)
}

pub(super) fn divergence(explorer: &mut Explorer<'_, '_>, channels: &Channels) -> Result<f64, SearchError> {
    let visit = explorer.estimate(channels)?;
    Ok(explorer.estimated(visit).1.harm(Score::Divergence).0)
}

/// The bin to measure next; none if `n` are, or all. The last one is measured.
fn next_bin(measured: &[Option<f64>], n: usize) -> Option<usize> {
    let known: Vec<usize> = (0..measured.len()).filter(|&bin| measured[bin].is_some()).collect();
    if measured[0].is_none() {
        return Some(0);
    }
    if known.len() >= n {
        return None;
    }
    let difference = |pair: &&[usize]| {
        let score = |bin: usize| measured[bin].expect("known");
        (score(pair[0]) - score(pair[1])).abs()
    };
    let gaps = known.windows(2).filter(|pair| pair[1] - pair[0] > 1);
    let widest = gaps.max_by(|a, b| difference(a).total_cmp(&difference(b)))?;
    Some((widest[0] + widest[1]) / 2)
}

/// Scores of all bins, linear in channels between those measured, among which are the ends.
fn interpolated(measured: &[Option<f64>], bins: &[usize]) -> Vec<f64> {
    let score = |bin: usize| {
        measured[bin].unwrap_or_else(|| {
            let below = (0..bin).rfind(|&b| measured[b].is_some()).expect("the first bin is measured");
            let above = (bin..bins.len()).find(|&b| measured[b].is_some()).expect("so is the last");
            let (low, high) = (measured[below].expect("found"), measured[above].expect("found"));
            let share = (bins[bin] - bins[below]) as f64 / (bins[above] - bins[below]) as f64;
            low + share * (high - low)
        })
    };
    (0..bins.len()).map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_measured_where_the_score_changes_most() {
        let steep = |bin: usize| 1.0 / (1 + bin) as f64;
        let mut measured = vec![None; 17];
        measured[16] = Some(0.0);
        let mut order = vec![];
        while let Some(bin) = next_bin(&measured, 6) {
            order.push(bin);
            measured[bin] = Some(steep(bin));
        }
        assert_eq!(order, [0, 8, 4, 2, 1]);
        let few = [None, None, Some(0.0)];
        assert_eq!(next_bin(&few, 6), Some(0));
        assert_eq!(next_bin(&[Some(1.0), None, Some(0.0)], 6), Some(1));
        assert_eq!(next_bin(&[Some(1.0), Some(0.5), Some(0.0)], 6), None);
        assert_eq!(next_bin(&[Some(0.0)], 6), None);
    }

    #[test]
    fn between_measured_bins_scores_are_linear_in_channels() {
        let measured = [Some(3.0), None, None, Some(0.0)];
        assert_eq!(interpolated(&measured, &[8, 16, 24, 32]), [3.0, 2.0, 1.0, 0.0]);
        assert_eq!(interpolated(&measured, &[8, 10, 24, 32]), [3.0, 2.75, 1.0, 0.0]);
    }
}
