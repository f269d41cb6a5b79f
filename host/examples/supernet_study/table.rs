//! The study's table, in Markdown.

use crate::records::Record;
use crate::statistics::{Figure, Of, difference, level};
use crate::variants::{self, BASELINE};
use reports::interval::Interval;

/// Columns: what is compared, by which figure, with so many decimals.
const COLUMNS: [(Of, Figure, usize); 6] = [
    (Of::Mean, Figure::Accuracy, 2),
    (Of::Mean, Figure::Loss, 4),
    (Of::Largest, Figure::Accuracy, 2),
    (Of::Largest, Figure::Loss, 4),
    (Of::Smallest, Figure::Accuracy, 2),
    (Of::Smallest, Figure::Loss, 4),
];

/// The baseline's level, then every other variant's difference to it, and what it took.
pub fn table(records: &[Record]) -> String {
    let mut lines = vec![
        "| variant | seeds | epochs | CPU s | mean acc. | mean c.-e. | largest acc. | largest c.-e. | smallest acc. | smallest c.-e. |"
            .to_owned(),
        "|---|---|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    for (name, _) in variants::all() {
        let own: Vec<&Record> = records.iter().filter(|r| r.variant == name).collect();
        let Some(first) = own.first() else { continue };
        let seconds: Vec<f64> = own.iter().filter_map(|r| r.cpu_s).collect();
        let seconds = seconds.iter().sum::<f64>() / seconds.len().max(1) as f64;
        let cell = |(of, figure, decimals): (Of, Figure, usize)| match name {
            BASELINE => shown(level(records, name, of, figure), decimals, Sign::Free),
            _ => shown(difference(records, name, of, figure), decimals, Sign::Always),
        };
        let cells = COLUMNS.map(cell).join(" | ");
        lines.push(format!("| {name} | {} | {} | {seconds:.0} | {cells} |", own.len(), first.epochs));
    }
    lines.join("\n")
}

#[derive(Clone, Copy)]
enum Sign {
    Free,
    Always,
}

/// `+0.31 ± 0.12`, in bold where the interval of a difference leaves out zero.
fn shown(interval: Option<Interval>, decimals: usize, sign: Sign) -> String {
    let Some(interval) = interval else { return String::new() };
    let (mean, half) = (interval.mean, interval.half());
    let text = match (sign, half) {
        (Sign::Free, None) => format!("{mean:.decimals$}"),
        (Sign::Free, Some(half)) => format!("{mean:.decimals$} ± {half:.decimals$}"),
        (Sign::Always, None) => format!("{mean:+.decimals$}"),
        (Sign::Always, Some(half)) => format!("{mean:+.decimals$} ± {half:.decimals$}"),
    };
    let text = text.replace('-', "−");
    match (sign, half) {
        (Sign::Always, Some(half)) if mean.abs() > half => format!("**{text}**"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_bold_where_its_interval_leaves_out_zero() {
        let interval =
            |mean: f64, half: f64| Some(Interval { mean, ends: Some([mean - half, mean + half]), n: 3 });
        assert_eq!(shown(interval(-0.5, 0.2), 2, Sign::Always), "**−0.50 ± 0.20**");
        assert_eq!(shown(interval(0.5, 0.6), 2, Sign::Always), "+0.50 ± 0.60");
        assert_eq!(shown(interval(80.0, 0.6), 2, Sign::Free), "80.00 ± 0.60");
        assert_eq!(shown(None, 2, Sign::Always), "");
    }
}
