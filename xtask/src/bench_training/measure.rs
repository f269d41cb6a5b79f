//! Runs the cases: one network at a time, its processes side by side.

use super::agreement::{self, Differences};
use super::cases::{Case, Net, Setting, Simd, What};
use super::loading::{self, Loading};
use super::processes::{LIMIT, Processes, Start};
use super::report::{self, Bounds, Detailed, Limits, Memory};
use super::rounds::{Budget, Rounds};
use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;

/// What to measure, with what.
pub struct Bench {
    /// Both programs.
    pub start: Start,
    /// In this order.
    pub nets: Vec<Net>,
    /// In this order.
    pub whats: Vec<What>,
    /// In this order.
    pub threads: Vec<usize>,
    /// Empty for the best one, and AVX2 beside a better one.
    pub simds: Vec<Simd>,
    /// Whether the processor has more than AVX2, so that PyTorch is limited to it too where ours is.
    pub compares_avx2: bool,
    /// Fewer batches and settings.
    pub is_quick: bool,
    /// Of each case.
    pub rounds: Rounds,
    /// When all is to be done.
    pub deadline: Instant,
}

/// Everything that was measured.
#[derive(Serialize)]
pub struct Results {
    /// PyTorch's version and instruction set.
    pub torch: Value,
    /// By number of threads.
    pub limits: BTreeMap<usize, Limits>,
    /// What loading batches takes.
    pub data_loading: Vec<Loading>,
    /// By network and instruction set.
    pub agreement: BTreeMap<String, Differences>,
    /// One per case and instruction set.
    pub rows: Vec<Detailed>,
    /// One per network.
    pub memory: Vec<Memory>,
}

impl Bench {
    /// Checks that the sides agree, then measures every case; `print` gets each line as soon as it is known.
    ///
    /// # Errors
    /// A side that fails, or a disagreement.
    pub fn run(&mut self, mut print: impl FnMut(&str)) -> Result<Results> {
        let mut ours = self.start.ours(None)?;
        let mut torch = self.start.torch("torch-check", &[])?;
        let mut results = Results {
            torch: torch.ask(&json!({ "request": "hello" }), LIMIT)?,
            limits: BTreeMap::new(),
            data_loading: Vec::new(),
            agreement: BTreeMap::new(),
            rows: Vec::new(),
            memory: Vec::new(),
        };
        print(&format!("PyTorch {}", results.torch));
        for &threads in &self.threads {
            let limits: Limits = ours.side.ask(&json!({ "request": "limits", "threads": threads }), LIMIT)?;
            print(&report::limits_line(threads, &limits));
            results.limits.insert(threads, limits);
        }
        results.data_loading = loading::measure(&mut ours.side, &self.threads)?;
        results.data_loading.iter().for_each(|loading| print(&loading.line()));
        let simds = ours.simds(self.nets[0])?;
        self.compares_avx2 = simds[0] == Simd::Avx512;
        if self.simds.is_empty() {
            self.simds = simds;
        }
        for &simd in &self.simds {
            let mut ours = self.start.ours(Some(simd))?;
            for &net in &self.nets {
                let description = ours.describe(net)?;
                ours.open(net, self.threads[0], "cpu")?;
                let differences = agreement::check(&mut ours.side, &mut torch, &description, &self.start.dir)
                    .with_context(|| format!("{} with {}", net.name(), simd.name()))?;
                print(&report::agreement_line(net, simd, &differences));
                results.agreement.insert(format!("{} {}", net.name(), simd.name()), differences);
            }
        }
        drop((ours, torch));
        self.measure(&mut results, &mut print)?;
        Ok(results)
    }

    fn measure(&self, results: &mut Results, print: &mut impl FnMut(&str)) -> Result<()> {
        let n_batches: usize = self.whats.iter().map(|&what| self.batches(what).len()).sum();
        let parts_left = self.nets.len() * self.threads.len() * n_batches;
        let mut budget = Budget { deadline: self.deadline, parts_left };
        print(report::HEAD);
        for &net in &self.nets {
            let mut processes = Processes::start(&self.start, net, &self.simds, &self.settings())?;
            for &threads in &self.threads {
                let compiles = threads == self.threads[0];
                processes.open(threads, compiles)?;
                for (what, batch) in
                    self.whats.iter().flat_map(|&w| self.batches(w).iter().map(move |&b| (w, b)))
                {
                    let case = Case { what, net, batch, threads };
                    let time = budget.next_part(Instant::now());
                    let mut measured = processes.measure(case, self.rounds, time, print)?;
                    if self.is_candles(case) {
                        measured[0].row.candle_ms = Some(self.candle(case)?);
                    }
                    for mut detailed in measured {
                        let work = processes.work(case)?;
                        detailed.bounds = Bounds::new(work, &results.limits[&threads], detailed.row.simd);
                        print(&report::line(&detailed));
                        results.rows.push(detailed);
                    }
                }
            }
            drop(processes);
            results.memory.extend(self.memory(net, &results.rows)?);
        }
        Ok(())
    }

    fn batches(&self, what: What) -> &'static [usize] {
        if self.is_quick { &what.batches()[..1] } else { what.batches() }
    }

    fn settings(&self) -> Vec<Setting> {
        let is_tried = |setting: &Setting| !self.is_quick || setting.is_usually_best();
        let mut settings: Vec<Setting> = Setting::ALL.into_iter().filter(is_tried).collect();
        if self.compares_avx2 && self.simds.contains(&Simd::Avx2) {
            let best = settings.iter().filter(|setting| setting.is_usually_best());
            let limited: Vec<_> = best.map(|setting| Setting { only_avx2: true, ..*setting }).collect();
            settings.extend(limited);
        }
        settings
    }

    /// Candle's operators are a hundred times slower: one case shows it.
    fn is_candles(&self, case: Case) -> bool {
        let Case { what, net, batch, threads } = case;
        (what, net, batch, threads) == (What::Plain, Net::Mb28, 64, self.threads[0])
    }

    fn candle(&self, case: Case) -> Result<f64> {
        let mut ours = self.start.ours(None)?;
        ours.open(case.net, case.threads, "candle")?;
        let times = [0; 2].map(|_| ours.run(case, &[1]));
        times.into_iter().try_fold(f64::INFINITY, |least, ms| Ok(least.min(ms?)))
    }

    /// Peak memory of sandwich steps in processes of their own, PyTorch in the setting that was fastest at them.
    fn memory(&self, net: Net, rows: &[Detailed]) -> Result<Option<Memory>> {
        let sandwich = |row: &&report::Row| row.net == net && row.what == What::Sandwich;
        let rows = rows.iter().map(|detailed| &detailed.row).filter(sandwich);
        let Some(row) = rows.max_by_key(|row| (row.batch, row.threads)) else { return Ok(None) };
        let mut settings = self.settings();
        settings.retain(|setting| setting.name() == row.torch_setting);
        let mut processes = Processes::start(&self.start, net, &[row.simd], &settings)?;
        processes.open(row.threads, false)?;
        let case = Case { what: row.what, net, batch: row.batch, threads: row.threads };
        let (ours_bytes, torch_bytes) = processes.peak_bytes(case)?;
        Ok(Some(Memory { net, batch: row.batch, ours_bytes, torch_bytes }))
    }
}
