//! The results as rows, a table and JSON.

use super::agreement::Differences;
use super::cases::{Case, MEMORY_GOAL, Net, Setting, Simd, What, goal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One line of `--json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What was timed.
    pub what: What,
    /// The network.
    pub net: Net,
    /// Images a step.
    pub batch: usize,
    /// Threads of either side.
    pub threads: usize,
    /// Instruction set of our side; PyTorch has no more where it is AVX2, and all of the processor's otherwise.
    pub simd: Simd,
    /// Our step.
    pub ours_ms: f64,
    /// PyTorch's in its best setting.
    pub torch_best_ms: f64,
    /// That setting.
    pub torch_setting: String,
    /// PyTorch's time over ours.
    pub ratio: f64,
    /// Candle's own operators, where they were timed.
    pub candle_ms: Option<f64>,
}

/// What the processor was measured to do, and at most needs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// GFLOP/s of multiply-adds by instruction set.
    pub gflops: BTreeMap<String, f64>,
    /// GB/s of arrays that fit a shared cache.
    pub cache_gbs: f64,
    /// GB/s of arrays that do not.
    pub memory_gbs: f64,
}

/// The least that a step does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Floating-point operations.
    pub flops: f64,
    /// Bytes to and from memory or cache.
    pub bytes: f64,
}

/// How long a step takes at the limits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bounds {
    /// All operations at the peak of multiply-adds.
    pub flops_ms: f64,
    /// All bytes at the bandwidth of the cache.
    pub cache_ms: f64,
    /// All bytes at the bandwidth of the memory.
    pub memory_ms: f64,
}

impl Bounds {
    /// Of `work` on a machine of these limits; `None` where the instruction set was not measured.
    pub fn new(work: Work, limits: &Limits, simd: Simd) -> Option<Bounds> {
        let ms = |amount: f64, giga_per_s: f64| amount / giga_per_s / 1e6;
        Some(Bounds {
            flops_ms: ms(work.flops, *limits.gflops.get(&simd.name())?),
            cache_ms: ms(work.bytes, limits.cache_gbs),
            memory_ms: ms(work.bytes, limits.memory_gbs),
        })
    }
}

/// A row with what is printed beside it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detailed {
    /// The row.
    #[serde(flatten)]
    pub row: Row,
    /// Ratio that is aimed at.
    pub goal: Option<f64>,
    /// The step at the machine's limits.
    pub bounds: Option<Bounds>,
    /// Milliseconds of every setting of PyTorch that was measured to the end.
    pub torch_ms: BTreeMap<String, f64>,
    /// PyTorch's best with instruction sets that our side did not have.
    pub torch_all_simd_ms: Option<f64>,
}

/// Peak resident memory of either process after sandwich steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Memory {
    /// The network.
    pub net: Net,
    /// Images a step.
    pub batch: usize,
    /// Ours.
    pub ours_bytes: u64,
    /// PyTorch's.
    pub torch_bytes: u64,
}

impl Detailed {
    /// The best setting against `ours_ms`, of those with the same instruction sets where there are any; `None` if PyTorch
    /// was not measured at all.
    pub fn new(case: Case, simd: Simd, ours_ms: f64, torch_ms: &[(Setting, f64)]) -> Option<Detailed> {
        let best = |only_avx2: bool| {
            let alike = torch_ms.iter().filter(|(setting, _)| setting.only_avx2 == only_avx2);
            alike.min_by(|a, b| a.1.total_cmp(&b.1))
        };
        let limited = best(true).filter(|_| simd == Simd::Avx2);
        let &(setting, best_ms) = limited.or(best(false))?;
        let torch_all_simd_ms = limited.and(best(false)).map(|(_, ms)| *ms);
        let Case { what, net, batch, threads } = case;
        let row = Row {
            what,
            net,
            batch,
            threads,
            simd,
            ours_ms,
            torch_best_ms: best_ms,
            torch_setting: setting.name(),
            ratio: best_ms / ours_ms,
            candle_ms: None,
        };
        let torch_ms = torch_ms.iter().map(|(setting, ms)| (setting.name(), *ms)).collect();
        Some(Detailed { row, goal: goal(case, simd), bounds: None, torch_ms, torch_all_simd_ms })
    }
}

/// What the processor does at most.
pub fn limits_line(threads: usize, limits: &Limits) -> String {
    let peaks: Vec<String> =
        limits.gflops.iter().map(|(simd, gflops)| format!("{simd} {gflops:.0} GFLOP/s")).collect();
    let Limits { cache_gbs, memory_gbs, .. } = limits;
    format!(
        "{threads} threads: {}; triad {cache_gbs:.0} GB/s in cache, {memory_gbs:.0} in memory",
        peaks.join(", ")
    )
}

/// How far the sides are apart.
pub fn agreement_line(net: Net, simd: Simd, differences: &Differences) -> String {
    let differences: Vec<String> =
        differences.iter().map(|(name, difference)| format!("{name} {difference:.0e}")).collect();
    format!("{} {} agrees with float64: {}", net.name(), simd.name(), differences.join(", "))
}

/// Column heads of [`line()`].
pub const HEAD: &str = "what     net          batch thr simd      ours ms torch ms   ours/s torch/s ratio goal      \
                        flop% cache% mem% PyTorch's setting";

/// One line of the table.
pub fn line(detailed: &Detailed) -> String {
    let Row { what, net, batch, threads, simd, ours_ms, torch_best_ms, torch_setting, ratio, candle_ms } =
        &detailed.row;
    let per_s = |ms: &f64| *batch as f64 * 1e3 / ms;
    let goal = match detailed.goal {
        Some(goal) if *ratio >= goal => format!("{goal:.2} met"),
        Some(goal) => format!("{goal:.2} no"),
        None => "-".into(),
    };
    let mut line = format!(
        "{:<8} {:<12} {batch:>5} {threads:>3} {:<8} {ours_ms:>8.2} {torch_best_ms:>8.2} {:>8.0} {:>7.0} {ratio:>5.2} {goal:<8}",
        what.name(),
        net.name(),
        simd.name(),
        per_s(ours_ms),
        per_s(torch_best_ms),
    );
    match detailed.bounds {
        Some(Bounds { flops_ms, cache_ms, memory_ms }) => {
            let [flop, cache, memory] = [flops_ms, cache_ms, memory_ms].map(|ms| 100.0 * ms / ours_ms);
            let _ = write!(line, " {flop:>5.0}% {cache:>5.0}% {memory:>3.0}%");
        }
        None => line.push_str("     -      -    -"),
    }
    let _ = write!(line, " {torch_setting}");
    if let Some(ms) = detailed.torch_all_simd_ms {
        let _ = write!(line, "; with AVX-512 {ms:.2} ms, {:.2} times ours", ms / ours_ms);
    }
    if let Some(candle_ms) = candle_ms {
        let _ = write!(line, "; Candle's own operators: {candle_ms:.0} ms");
    }
    line
}

/// The lines on memory.
pub fn memory_lines(memory: &[Memory]) -> String {
    let mut text = String::from("peak resident memory (sandwich)  batch  ours MB  torch MB  ratio\n");
    for Memory { net, batch, ours_bytes, torch_bytes } in memory {
        let [ours, torch] = [ours_bytes, torch_bytes].map(|&bytes| bytes as f64 / 1e6);
        let ratio = torch / ours;
        let met = if ratio >= MEMORY_GOAL { "met" } else { "no" };
        let _ = writeln!(
            text,
            "{:<32} {batch:>6} {ours:>8.0} {torch:>9.0} {ratio:>6.1}  {MEMORY_GOAL:.0} {met}",
            net.name()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detailed() -> Detailed {
        let case = Case { what: What::Plain, net: Net::Mb28, batch: 64, threads: 2 };
        let torch = [(Setting::ALL[3], 30.0), (Setting::ALL[1], 20.0)];
        Detailed::new(case, Simd::Avx2, 10.0, &torch).unwrap()
    }

    #[test]
    fn the_best_setting_counts() {
        let Row { torch_best_ms, torch_setting, ratio, .. } = detailed().row;
        assert_eq!((torch_best_ms, torch_setting.as_str(), ratio), (20.0, "channels_last", 2.0));
    }

    #[test]
    fn avx2_is_compared_with_avx2_and_both_are_told() {
        let case = Case { what: What::Plain, net: Net::Mb28, batch: 64, threads: 2 };
        let limited = Setting { only_avx2: true, ..Setting::ALL[1] };
        let torch = [(Setting::ALL[1], 15.0), (limited, 25.0)];
        let of = |simd| Detailed::new(case, simd, 10.0, &torch).unwrap();
        let (avx2, avx512) = (of(Simd::Avx2), of(Simd::Avx512));
        assert_eq!((avx2.row.ratio, avx2.torch_all_simd_ms), (2.5, Some(15.0)));
        assert_eq!((avx512.row.ratio, avx512.torch_all_simd_ms), (1.5, None));
        assert!(line(&avx2).contains("with AVX-512 15.00 ms, 1.50 times ours"), "{}", line(&avx2));
    }

    #[test]
    fn a_line_says_whether_the_goal_is_met() {
        let mut detailed = detailed();
        assert!(
            line(&detailed).contains("2.00 1.80 met") && line(&detailed).contains("6400"),
            "{}",
            line(&detailed)
        );
        detailed.row.ratio = 1.7;
        assert!(line(&detailed).contains("1.70 1.80 no"));
    }

    #[test]
    fn the_json_has_the_fields_that_were_agreed_on() {
        let row = serde_json::to_value(detailed().row).unwrap();
        let mut fields: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "batch",
                "candle_ms",
                "net",
                "ours_ms",
                "ratio",
                "simd",
                "threads",
                "torch_best_ms",
                "torch_setting",
                "what"
            ]
        );
        assert!(row["candle_ms"].is_null());
    }

    #[test]
    fn a_bound_is_work_over_rate() {
        let limits = Limits {
            gflops: BTreeMap::from([("avx2".to_owned(), 100.0)]),
            cache_gbs: 50.0,
            memory_gbs: 20.0,
        };
        let bounds = Bounds::new(Work { flops: 1e9, bytes: 1e8 }, &limits, Simd::Avx2).unwrap();
        assert_eq!(bounds, Bounds { flops_ms: 10.0, cache_ms: 2.0, memory_ms: 5.0 });
        assert_eq!(Bounds::new(Work { flops: 1.0, bytes: 1.0 }, &limits, Simd::Avx512), None);
    }
}
