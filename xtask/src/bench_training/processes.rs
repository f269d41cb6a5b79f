//! The processes of both sides, and what they are asked.

use super::cases::{Case, Net, Setting, Simd, What};
use super::report::{Detailed, Work};
use super::rounds::{Rounds, alternate, mean};
use super::side::Side;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Of every request that compiles nothing.
pub const LIMIT: Duration = Duration::from_secs(120);
/// torch.compile is given up after it.
const COMPILE_LIMIT: Duration = Duration::from_secs(150);
/// Nothing is compiled once the time for a case is less.
const LEAST_TO_COMPILE: Duration = Duration::from_secs(12);
/// A setting of PyTorch that a first look finds slower than the best by this factor is not measured further …
const HOPELESS: f64 = 1.15;
/// … and beyond this factor not looked at again with another batch or fewer threads. (What is compiled is not looked at
/// again beyond the first: that takes minutes.)
const NEVER: f64 = 1.5;
/// A side's turn takes about so long.
const TURN_MS: f64 = 200.0;
/// Threads of the side before have stopped spinning after it.
const PAUSE: Duration = Duration::from_millis(10);

/// Starts either side.
pub struct Start {
    /// Our binary.
    pub ours: PathBuf,
    /// A Python that has PyTorch.
    pub python: PathBuf,
    /// PyTorch's script.
    pub script: PathBuf,
    /// For logs and what the sides exchange.
    pub dir: PathBuf,
}

/// Our side.
pub struct Ours {
    /// The process.
    pub side: Side,
}

/// PyTorch in one setting.
struct Torch {
    setting: Setting,
    side: Side,
    /// What it was far too slow at, or failed at.
    given_up: Vec<What>,
}

/// All processes of a network.
pub struct Processes {
    net: Net,
    description: Value,
    ours: Vec<(Simd, Ours)>,
    torch: Vec<Torch>,
}

/// What a case sends to PyTorch.
#[derive(Deserialize)]
struct Subnets {
    steps: Value,
    evaluated: Value,
}

#[derive(Deserialize)]
struct Times {
    ms: Vec<f64>,
}

#[derive(Deserialize)]
struct Peak {
    peak_bytes: u64,
}

#[derive(Deserialize)]
struct Opened {
    simd: Option<Simd>,
}

impl Start {
    /// Our side, with the best instruction set where none is named.
    ///
    /// # Errors
    /// If it does not start.
    pub fn ours(&self, simd: Option<Simd>) -> Result<Ours> {
        Ours::start(&self.ours, simd, &self.dir)
    }

    /// PyTorch's side.
    ///
    /// # Errors
    /// If it does not start.
    pub fn torch(&self, name: &str, env: &[(&str, &str)]) -> Result<Side> {
        let mut command = Command::new(&self.python);
        command.arg(&self.script).envs(env.iter().copied());
        command.env("TORCHINDUCTOR_CACHE_DIR", self.dir.join("compiled"));
        Side::start(name, command, &self.dir)
    }
}

impl Ours {
    /// Starts our binary, see [`Start::ours`]; its log goes to `dir`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(binary: &Path, simd: Option<Simd>, dir: &Path) -> Result<Ours> {
        let mut command = Command::new(binary);
        command.envs(simd.map(|simd| ("EDGESLIM_SIMD", simd.name())));
        let name = format!("edgeslim-{}", simd.map_or("best".into(), Simd::name));
        Ok(Ours { side: Side::start(&name, command, dir)? })
    }

    /// The network as PyTorch's side needs it.
    ///
    /// # Errors
    /// The side's.
    pub fn describe(&mut self, net: Net) -> Result<Value> {
        self.side.ask(&json!({ "request": "describe", "net": net }), LIMIT)
    }

    /// Opens a network with an engine, `cpu` or `candle`; the instruction set, which Candle does not tell.
    ///
    /// # Errors
    /// The side's.
    pub fn open(&mut self, net: Net, threads: usize, engine: &str) -> Result<Option<Simd>> {
        let request = json!({ "request": "open", "net": net, "threads": threads, "engine": engine });
        Ok(self.side.ask::<Opened>(&request, LIMIT)?.simd)
    }

    /// The best instruction set, and AVX2 beside a better one.
    ///
    /// # Errors
    /// The side's.
    pub fn simds(&mut self, net: Net) -> Result<Vec<Simd>> {
        let best = self.open(net, 1, "cpu")?.context("the CPU engine tells its instruction set")?;
        Ok(if best == Simd::Avx512 { vec![best, Simd::Avx2] } else { vec![best] })
    }

    /// Mean milliseconds of the steps of `seeds`.
    ///
    /// # Errors
    /// The side's.
    pub fn run(&mut self, case: Case, seeds: &[u64]) -> Result<f64> {
        let Case { what, batch, .. } = case;
        let request = json!({ "request": "run", "what": what, "batch": batch, "seeds": seeds });
        Ok(mean(&self.side.ask::<Times>(&request, LIMIT)?.ms))
    }

    fn subnets(&mut self, seeds: &[u64]) -> Result<Subnets> {
        self.side.ask(&json!({ "request": "subnets", "seeds": seeds }), LIMIT)
    }
}

impl Torch {
    fn run(&mut self, case: Case, subnets: &Subnets) -> Result<f64> {
        let request = json!({
            "request": "run",
            "what": case.what,
            "batch": case.batch,
            "steps": subnets.steps,
            "evaluated": subnets.evaluated,
        });
        let limit = if self.setting.compile { COMPILE_LIMIT } else { LIMIT };
        Ok(mean(&self.side.ask::<Times>(&request, limit)?.ms))
    }

    /// Milliseconds of the faster of two steps after a first one.
    fn look(&mut self, case: Case, warm: &Subnets, timed: &[Subnets; 2]) -> Result<f64> {
        self.run(case, warm)?;
        timed.iter().try_fold(f64::INFINITY, |least, step| Ok(least.min(self.run(case, step)?)))
    }
}

/// A process whose turn comes in every round.
enum Player<'a> {
    Ours(&'a mut Ours),
    Torch(&'a mut Torch),
}

impl Processes {
    /// Starts one process an instruction set and one a setting.
    ///
    /// # Errors
    /// If one does not start.
    pub fn start(start: &Start, net: Net, simds: &[Simd], settings: &[Setting]) -> Result<Processes> {
        let mut ours = Vec::new();
        for &simd in simds {
            ours.push((simd, start.ours(Some(simd))?));
        }
        let description = ours.first_mut().context("no instruction set was chosen")?.1.describe(net)?;
        let mut torch = Vec::new();
        for &setting in settings {
            let name = format!("torch-{}", setting.name().replace(", ", "-").replace(' ', "-"));
            let side = start.torch(&name, &setting.env())?;
            torch.push(Torch { setting, side, given_up: Vec::new() });
        }
        Ok(Processes { net, description, ours, torch })
    }

    /// Opens the network everywhere, but not to compile it again unless `compiles`.
    ///
    /// # Errors
    /// A side's.
    pub fn open(&mut self, threads: usize, compiles: bool) -> Result<()> {
        for (simd, ours) in &mut self.ours {
            let opened = ours.open(self.net, threads, "cpu")?;
            if opened != Some(*simd) {
                bail!("the engine computes with {opened:?}, not with {simd:?} as told");
            }
        }
        self.torch.retain(|torch| compiles || !torch.setting.compile);
        for Torch { setting, side, .. } in &mut self.torch {
            let request = json!({
                "request": "open",
                "description": self.description,
                "threads": threads,
                "format": setting.format,
                "compile": setting.compile,
            });
            side.ask::<Value>(&request, LIMIT)?;
        }
        Ok(())
    }

    /// Measures one case: first looks at every setting of PyTorch, then lets those that may be the best take turns with
    /// our side. One result an instruction set.
    ///
    /// # Errors
    /// A side's; `print` gets those of torch.compile, which may fail.
    pub fn measure(
        &mut self,
        case: Case,
        rounds: Rounds,
        time: Duration,
        print: &mut impl FnMut(&str),
    ) -> Result<Vec<Detailed>> {
        let looks = self.look(case, time >= LEAST_TO_COMPILE, print)?;
        let best_of = |only_avx2: bool, torch: &[Torch]| {
            let alike = torch.iter().zip(&looks).filter(|(torch, _)| torch.setting.only_avx2 == only_avx2);
            alike.map(|(_, &ms)| ms).fold(f64::INFINITY, f64::min)
        };
        let bests = [false, true].map(|only_avx2| best_of(only_avx2, &self.torch));
        let best = bests[0].min(bests[1]);
        for (torch, ms) in self.torch.iter_mut().zip(&looks) {
            let factor = if torch.setting.compile { HOPELESS } else { NEVER };
            if ms.is_finite() && *ms > factor * bests[usize::from(torch.setting.only_avx2)] {
                torch.given_up.push(case.what);
            }
        }
        let n_steps = (TURN_MS / best).clamp(2.0, 10.0) as u64;
        let seeds =
            |round: usize| -> Vec<u64> { (0..n_steps).map(|i| 100 + round as u64 * n_steps + i).collect() };
        let mut subnets = Vec::new();
        for round in 0..rounds.most {
            subnets.push(self.ours[0].1.subnets(&seeds(round))?);
        }
        let mut players: Vec<Player> = self.ours.iter_mut().map(|(_, ours)| Player::Ours(ours)).collect();
        let is_contender =
            |(torch, ms): &(&mut Torch, f64)| *ms <= HOPELESS * bests[usize::from(torch.setting.only_avx2)];
        let contenders = self.torch.iter_mut().zip(looks).filter(is_contender);
        players.extend(contenders.map(|(torch, _)| Player::Torch(torch)));
        let medians = alternate(&mut players, rounds, time, |player, round| {
            std::thread::sleep(PAUSE);
            match player {
                Player::Ours(ours) => ours.run(case, &seeds(round)),
                Player::Torch(torch) => torch.run(case, &subnets[round]),
            }
        })?;
        let by_setting: Vec<(Setting, f64)> = players
            .iter()
            .zip(&medians)
            .filter_map(|(player, &ms)| match player {
                Player::Torch(torch) => Some((torch.setting, ms)),
                Player::Ours(_) => None,
            })
            .collect();
        let ours = self.ours.iter().zip(medians);
        ours.map(|((simd, _), ms)| {
            Detailed::new(case, *simd, ms, &by_setting).context("PyTorch was not measured")
        })
        .collect()
    }

    /// The work of a step.
    ///
    /// # Errors
    /// The side's.
    pub fn work(&mut self, case: Case) -> Result<Work> {
        let Case { what, batch, .. } = case;
        let seeds: Vec<u64> = (100..132).collect();
        let request = json!({ "request": "work", "what": what, "batch": batch, "seeds": seeds });
        self.ours[0].1.side.ask(&request, LIMIT)
    }

    /// Peak resident memory after some steps: ours, and the least of PyTorch's.
    ///
    /// # Errors
    /// A side's.
    pub fn peak_bytes(&mut self, case: Case) -> Result<(u64, u64)> {
        let seeds = [1, 2, 3];
        let subnets = self.ours[0].1.subnets(&seeds)?;
        self.ours[0].1.run(case, &seeds)?;
        let request = json!({ "request": "memory" });
        let ours: Peak = self.ours[0].1.side.ask(&request, LIMIT)?;
        let mut least = u64::MAX;
        for torch in &mut self.torch {
            torch.run(case, &subnets)?;
            least = least.min(torch.side.ask::<Peak>(&request, LIMIT)?.peak_bytes);
        }
        Ok((ours.peak_bytes, least))
    }

    /// [`Torch::look`] at every setting, infinite where one is left out.
    fn look(&mut self, case: Case, may_compile: bool, print: &mut impl FnMut(&str)) -> Result<Vec<f64>> {
        let [warm, first, second] = [1, 2, 3].map(|seed| self.ours[0].1.subnets(&[seed]));
        let (warm, timed) = (warm?, [first?, second?]);
        for (_, ours) in &mut self.ours {
            ours.run(case, &[1, 2])?;
        }
        let mut looks = Vec::new();
        let mut i = 0;
        while let Some(torch) = self.torch.get_mut(i) {
            let (compile, name) = (torch.setting.compile, torch.setting.name());
            let is_left_out = !torch.setting.runs(case.what) || torch.given_up.contains(&case.what);
            let look = if is_left_out || (compile && !may_compile) {
                Ok(f64::INFINITY)
            } else {
                torch.look(case, &warm, &timed)
            };
            match look {
                Ok(ms) => looks.push(ms),
                // A compiler that fails or takes too long is ended and no reason to stop.
                Err(error) if compile => {
                    print(&format!("{name} is left out for this network from here on: {error:#}"));
                    self.torch.remove(i);
                    continue;
                }
                Err(error) => return Err(error),
            }
            i += 1;
        }
        Ok(looks)
    }
}
