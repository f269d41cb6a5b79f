//! What is measured, and the goals.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A training step of four subnets with in-place distillation.
    Sandwich,
    /// A training step of the widest subnet.
    Plain,
    /// Logits of one subnet with running statistics.
    Evaluate,
}

/// The networks, by the names of edgeslim's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Net {
    /// Depthwise-separable, 32 to 128 channels, 28×28×1.
    Mb28,
    /// The same at 32×32×3.
    Mb32,
    /// MobileNet v1 ×1.0 at 32×32×3.
    MobilenetV1,
    /// MobileNet v2 ×1.0 at 32×32×3, stem of stride 1.
    MobilenetV2,
    /// ResNet-8 of MLPerf Tiny.
    #[value(name = "resnet-8")]
    #[serde(rename = "resnet-8")]
    Resnet8,
    /// ResNet-20 for CIFAR.
    #[value(name = "resnet-20")]
    #[serde(rename = "resnet-20")]
    Resnet20,
}

/// Instruction sets of edgeslim's engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Simd {
    /// 16 lanes.
    Avx512,
    /// 8 lanes.
    Avx2,
    /// 4 lanes of an aarch64.
    Neon,
    /// 4 lanes as the compiler makes them.
    Portable,
}

impl Net {
    /// As typed and printed.
    pub fn name(self) -> String {
        name(self)
    }
}

impl What {
    /// As typed and printed.
    pub fn name(self) -> String {
        name(self)
    }

    /// Batch sizes.
    pub fn batches(self) -> &'static [usize] {
        match self {
            What::Sandwich | What::Plain => &[64, 128],
            What::Evaluate => &[256],
        }
    }
}

impl Simd {
    /// As typed and printed.
    pub fn name(self) -> String {
        name(self)
    }
}

fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Something to measure on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Case {
    /// What is timed.
    pub what: What,
    /// On which network.
    pub net: Net,
    /// Images a step.
    pub batch: usize,
    /// Threads of either side.
    pub threads: usize,
}

/// Times PyTorch's best over ours that is aimed at; `None` where no goal was set.
pub fn goal(case: Case, simd: Simd) -> Option<f64> {
    let at_two_threads = match (case.what, case.net) {
        (What::Sandwich, Net::Mb28 | Net::Mb32) => 3.0,
        (What::Sandwich, Net::MobilenetV1) => 3.5,
        (What::Sandwich, Net::MobilenetV2) => 2.5,
        (What::Sandwich, Net::Resnet8 | Net::Resnet20) => 2.0,
        (What::Plain, Net::Mb28 | Net::Mb32 | Net::MobilenetV1) => 2.0,
        (What::Plain, Net::Resnet8) => 1.4,
        (What::Plain, Net::MobilenetV2 | Net::Resnet20) => return None,
        (What::Evaluate, _) => 2.5,
    };
    let of_threads = if case.threads == 1 { 0.8 } else { 1.0 };
    let of_simd = match simd {
        Simd::Avx512 => 1.0,
        Simd::Avx2 => 0.9,
        Simd::Neon | Simd::Portable => return None,
    };
    Some(at_two_threads * of_threads * of_simd)
}

/// PyTorch's peak memory over ours that is aimed at.
pub const MEMORY_GOAL: f64 = 4.0;

/// How PyTorch runs a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// `torch.NAME`.
    pub format: &'static str,
    /// glibc keeps what it has allocated instead of giving it back after every step.
    pub tuned_malloc: bool,
    /// `torch.compile`: of widths that stay the same, so not of sandwich steps.
    pub compile: bool,
    /// As on a processor that has no more than AVX2.
    pub only_avx2: bool,
}

impl Setting {
    /// All of them, with all instruction sets.
    pub const ALL: [Setting; 5] = [
        Setting::new("channels_last", true),
        Setting::new("channels_last", false),
        Setting::new("contiguous_format", true),
        Setting::new("contiguous_format", false),
        Setting { compile: true, ..Setting::new("channels_last", true) },
    ];

    const fn new(format: &'static str, tuned_malloc: bool) -> Setting {
        Setting { format, tuned_malloc, compile: false, only_avx2: false }
    }

    /// As printed.
    pub fn name(&self) -> String {
        let format = if self.format == "channels_last" { self.format } else { "NCHW" };
        let parts = [
            (self.compile, "compiled"),
            (true, format),
            (self.tuned_malloc, "tuned malloc"),
            (self.only_avx2, "AVX2"),
        ];
        parts.iter().filter(|(is_part, _)| *is_part).map(|(_, part)| *part).collect::<Vec<_>>().join(", ")
    }

    /// Whether it can run `what`: compiled anew for each of a sandwich's random widths, a step would take minutes.
    pub fn runs(&self, what: What) -> bool {
        !self.compile || what != What::Sandwich
    }

    /// Whether it wins nearly always, without a compiler.
    pub fn is_usually_best(&self) -> bool {
        self.format == "channels_last" && !self.compile
    }

    /// Environment of the process.
    pub fn env(&self) -> Vec<(&'static str, &'static str)> {
        let tuned = [
            ("MALLOC_MMAP_THRESHOLD_", "4294967296"),
            ("MALLOC_TRIM_THRESHOLD_", "4294967296"),
            ("MALLOC_TOP_PAD_", "268435456"),
        ];
        // PyTorch's own kernels, oneDNN's, and MKL's.
        let only_avx2 = [
            ("ATEN_CPU_CAPABILITY", "avx2"),
            ("ONEDNN_MAX_CPU_ISA", "AVX2"),
            ("MKL_ENABLE_INSTRUCTIONS", "AVX2"),
        ];
        let chosen = [(self.tuned_malloc, tuned), (self.only_avx2, only_avx2)];
        chosen.into_iter().filter(|(is_chosen, _)| *is_chosen).flat_map(|(_, env)| env).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(what: What, net: Net, threads: usize) -> Case {
        Case { what, net, batch: what.batches()[0], threads }
    }

    #[test]
    fn goals_are_lower_for_one_thread_and_for_avx2() {
        let near = |goal: Option<f64>, wanted: f64| (goal.unwrap() - wanted).abs() < 1e-12;
        let two = case(What::Sandwich, Net::MobilenetV1, 2);
        assert!(near(goal(two, Simd::Avx512), 3.5) && near(goal(two, Simd::Avx2), 3.15));
        let one = case(What::Plain, Net::Resnet8, 1);
        assert!(near(goal(one, Simd::Avx512), 1.12) && near(goal(one, Simd::Avx2), 1.008));
        assert!(near(goal(case(What::Evaluate, Net::Resnet20, 2), Simd::Avx512), 2.5));
    }

    #[test]
    fn no_goal_is_made_up_where_none_was_set() {
        assert_eq!(goal(case(What::Plain, Net::MobilenetV2, 2), Simd::Avx512), None);
        assert_eq!(goal(case(What::Sandwich, Net::Mb28, 2), Simd::Portable), None);
    }

    #[test]
    fn names_are_those_of_the_json() {
        for (name, json) in [
            (Net::Resnet8.name(), serde_json::to_value(Net::Resnet8).unwrap()),
            (Net::MobilenetV1.name(), serde_json::to_value(Net::MobilenetV1).unwrap()),
            (What::Sandwich.name(), serde_json::to_value(What::Sandwich).unwrap()),
            (Simd::Avx512.name(), serde_json::to_value(Simd::Avx512).unwrap()),
        ] {
            assert_eq!(json, name);
        }
    }

    #[test]
    fn a_setting_is_named_after_what_it_changes() {
        let [best, .., compiled] = Setting::ALL;
        assert_eq!(best.name(), "channels_last, tuned malloc");
        assert_eq!(compiled.name(), "compiled, channels_last, tuned malloc");
        let limited = Setting { only_avx2: true, ..Setting::ALL[3] };
        assert_eq!(limited.name(), "NCHW, AVX2");
        assert!(limited.env().contains(&("ATEN_CPU_CAPABILITY", "avx2")) && Setting::ALL[3].env().is_empty());
    }

    #[test]
    fn widths_that_change_are_never_compiled() {
        let compiled: Vec<&Setting> = Setting::ALL.iter().filter(|setting| setting.compile).collect();
        assert!(
            compiled.iter().all(|s| !s.runs(What::Sandwich) && s.runs(What::Plain) && s.runs(What::Evaluate))
        );
        assert_eq!(compiled.len(), 1);
    }
}
