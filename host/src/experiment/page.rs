//! The page of all experiments: what the papers claim, beside what was found.

use reports::experiment::{ExperimentRecord, Finding};
use std::fmt::Write as _;

/// Markdown of `records`, whose figures lie in the folder `figures` as seen from the page.
pub fn page(records: &[ExperimentRecord], figures: &str) -> String {
    let mut page = String::from(INTRODUCTION);
    for record in records {
        let ExperimentRecord { name, title, command, dataset, train_images, test_images, .. } = record;
        let seeds = record.seeds.len();
        let _ = write!(
            page,
            "\n## {title}\n\n`{command}`: {dataset}, {train_images} training and {test_images} test images, {}, {seeds} {}.",
            record.recipe,
            if seeds == 1 { "seed" } else { "seeds" }
        );
        if let Some(board) = &record.board {
            let _ = write!(page, " {board}.");
        }
        let _ = write!(page, "\n\n![{title}]({figures}/{name}.png)\n\n");
        page.push_str("| claim | found | verdict |\n|---|---|---|\n");
        record.findings.iter().for_each(|finding| row(&mut page, finding));
    }
    page
}

const INTRODUCTION: &str = "\
# The papers' experiments

<!-- Do not edit; written by `edgeslim experiment`. -->

Slimmable networks (arXiv 1812.08928), universally slimmable networks (1903.05134) and AutoSlim (1903.11728) were shown on
ImageNet. These are their experiments at a scale that a laptop runs, each by one command. A verdict is taken from the 95 %
interval over seeds of a difference that the paper says is positive: *agrees* where it lies above zero, *differs* where it lies
below, *cannot say at this scale* otherwise. Each verdict is one of many at 95 %: of forty, two would be wrong by chance. Records
lie beside the figures.
";

fn row(page: &mut String, finding: &Finding) {
    let Finding { claim, source, quantity, found } = finding;
    let _ = writeln!(page, "| {claim} ({source}) | {found} ({quantity}) | **{}** |", finding.verdict());
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::interval::Interval;

    #[test]
    fn a_claim_stands_beside_its_interval_and_verdict() {
        let found = |values: &[f64]| Finding {
            claim: "narrow is worse".into(),
            source: "a paper".into(),
            quantity: "points".into(),
            found: Interval::of(values).unwrap(),
        };
        let mut page = String::new();
        row(&mut page, &found(&[1.0, 1.5, 1.25]));
        assert_eq!(page, "| narrow is worse (a paper) | +1.25 ± 0.62 (points) | **agrees** |\n");
        page.clear();
        row(&mut page, &found(&[-1.0]));
        assert_eq!(page, "| narrow is worse (a paper) | -1.00 (points) | **cannot say at this scale** |\n");
    }
}
