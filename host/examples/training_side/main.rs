//! edgeslim's side of `cargo xtask bench-training`: answers each line of JSON on standard input with one on standard
//! output, `{"error": …}` where it cannot. PyTorch's side, `xtask/src/bench_training/torch_side.py`, answers the same
//! requests.

mod exchange;
mod limits;
mod loading;
mod session;
mod tasks;
mod work;

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use session::Session;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A training step of the widest subnet.
    Plain,
    /// A training step of four subnets with in-place distillation.
    Sandwich,
    /// Logits of one subnet with running statistics.
    Evaluate,
}

#[derive(Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
enum Request {
    /// Graph and constants of a network, from which the other side builds it.
    Describe { net: String },
    /// Loads a network for what follows.
    Open { net: String, threads: usize, engine: session::EngineKind },
    /// Time of one step a seed; a sandwich step draws its random subnets from its seed.
    Run { what: What, batch: usize, seeds: Vec<u64> },
    /// Time of steps at which every unit has the same width, a share of its full count, and their work.
    Width { what: What, batch: usize, width: f64, steps: usize },
    /// Times of loading batches and of the steps on them.
    Loading { batch: usize, steps: usize },
    /// Times of every task of a training step on one thread.
    Tasks { what: What, batch: usize, repeats: usize },
    /// Subnets of the sandwich steps of these seeds, and the one that is evaluated.
    Subnets { seeds: Vec<u64> },
    /// Floating-point operations and bytes that one step cannot do without.
    Work { what: What, batch: usize, seeds: Vec<u64> },
    /// Writes parameters, images and what a plain step, a sandwich step and an evaluation make of them.
    Export { path: PathBuf, batch: usize, seed: u64 },
    /// What the processor can do.
    Limits { threads: usize },
    /// The most memory that this process ever held.
    Memory,
}

fn main() -> Result<()> {
    let mut session = None;
    for line in std::io::stdin().lock().lines() {
        let answer = serde_json::from_str(&line?)
            .context("no request")
            .and_then(|request| answer(request, &mut session))
            .unwrap_or_else(|error| json!({ "error": first_line(&error) }));
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn answer(request: Request, session: &mut Option<Session>) -> Result<Value> {
    if let Request::Open { net, threads, engine } = request {
        // One network at a time is in memory.
        *session = None;
        let opened = session.insert(Session::open(&net, threads, engine)?);
        return Ok(json!({ "simd": opened.simd() }));
    }
    match request {
        Request::Describe { net } => return session::describe(&net),
        Request::Limits { threads } => return Ok(limits::measure(threads)),
        Request::Memory => return Ok(json!({ "peak_bytes": peak_bytes()? })),
        _ => {}
    }
    let session = session.as_mut().context("no network is open; send `open` first")?;
    match request {
        Request::Run { what, batch, seeds } => Ok(json!({ "ms": session.run(what, batch, &seeds)? })),
        Request::Subnets { seeds } => Ok(session.subnets(&seeds)),
        Request::Work { what, batch, seeds } => Ok(session.work(what, batch, &seeds)),
        Request::Width { what, batch, width, steps } => session.width(what, batch, width, steps),
        Request::Loading { batch, steps } => loading::measure(session, batch, steps),
        Request::Tasks { what, batch, repeats } => {
            let (images, labels) = session.batch(batch)?;
            tasks::record(session.engine().graph(), what, &images, &labels, repeats)
        }
        Request::Export { path, batch, seed } => exchange::export(session, &path, batch, seed),
        Request::Open { .. } | Request::Describe { .. } | Request::Limits { .. } | Request::Memory => {
            unreachable!("answered above")
        }
    }
}

/// `VmHWM` of Linux.
fn peak_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status cannot be read")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(kib.context("/proc/self/status has no VmHWM")? * 1024)
}

/// Candle appends a backtrace.
fn first_line(error: &anyhow::Error) -> String {
    let causes: Vec<String> =
        error.chain().map(|cause| cause.to_string().lines().next().unwrap_or_default().to_owned()).collect();
    causes.join(": ")
}
