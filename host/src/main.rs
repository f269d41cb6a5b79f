//! The command line: what was typed → a stage of [`edgeslim::stage`].

mod cli;
mod print;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use cli::{BoardAction, Cli, Command, Common, ExperimentArgs, NetworkAction, Which};
use edgeslim::board::{ProbeOptions, RunFrom};
use edgeslim::config::RunConfig;
use edgeslim::experiment::{self, Lab, Scale};
use edgeslim::network::explain::explain;
use edgeslim::network::picture::picture;
use edgeslim::network::{self, NetworkError};
use edgeslim::stage::{self, Context, Overrides};
use edgeslim::ui::{Ui, complain, message, put};
use edgeslim::{board, doctor, firmware, profile, run};
use reports::figures;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a shell gives for a process that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    match stop_on_ctrl_c(&stop).and_then(|()| execute(Cli::parse(), &stop)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough: `edgeslim boards | head -1`.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format!("error: {}", message(error.as_ref())));
            if stop.load(Ordering::Relaxed) { ExitCode::from(INTERRUPTED) } else { ExitCode::FAILURE }
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The first Ctrl-C asks for an end at the next safe point, the second one does not ask.
fn stop_on_ctrl_c(stop: &Arc<AtomicBool>) -> Result<()> {
    let stop = Arc::clone(stop);
    ctrlc::set_handler(move || {
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        complain("\nstopping at the next safe point; press Ctrl-C again to stop at once");
    })
    .context("Ctrl-C cannot be caught")
}

fn execute(cli: Cli, stop: &Arc<AtomicBool>) -> Result<()> {
    let Cli { command, common } = cli;
    let mut flags = overrides(&common);
    match command {
        Command::Init { dir } => return init(dir.as_deref().unwrap_or(&common.run)),
        Command::Boards { action: None } => return print::boards(&board::embedded(), common.json),
        Command::Boards { action: Some(BoardAction::Show { name }) } => {
            return print::board(&board::load(&name)?, common.json);
        }
        Command::Boards { action: Some(BoardAction::Build { name }) } => {
            let board = board::load(&name)?;
            let elf = firmware::build(&board, &board.memory()?)?;
            return print::path(&elf, common.json);
        }
        Command::Boards { action: Some(BoardAction::New { chip, run_from, out }) } => {
            let out = new_board(&chip, run_from.map(Into::into), out)?;
            return print::path(&out, common.json);
        }
        Command::Doctor => return examine(&common),
        Command::Experiment(ref args) => return experiments(args, &common, stop),
        Command::Networks { action: None } => return print::network::networks(common.json),
        Command::Networks { action: Some(action) } => return look_at(action, common.json),
        Command::Profile { layers: Some(list), out, .. } => {
            return profile_list(&common, &list, out.as_deref(), stop);
        }
        Command::Profile { time, .. } => flags.time_s = time,
        Command::Train { ref system } => flags.system.clone_from(system),
        Command::Search(ref args) => {
            flags.budgets = args.budgets();
            flags.strategies.clone_from(&args.strategy);
        }
        _ => {}
    }
    let ui = if common.json { Ui::Script } else { Ui::People };
    let ctx = Context::open(&common.run, &flags, ui, Arc::clone(stop))?;
    match command {
        Command::Profile { .. } => stage::profile::profile(&ctx)?,
        Command::Train { .. } => stage::train::train(&ctx)?,
        Command::Search(_) => stage::search::search(&ctx)?,
        Command::Retrain => stage::retrain::retrain(&ctx)?,
        Command::Quantize => stage::quantize::quantize(&ctx)?,
        Command::Deploy { ref candidate } => return stage::deploy::deploy(&ctx, candidate, common.json),
        Command::Verify => stage::verify::verify(&ctx)?,
        Command::Report => stage::report::report(&ctx)?,
        Command::Run => stage::run(&ctx)?,
        Command::Init { .. }
        | Command::Boards { .. }
        | Command::Doctor
        | Command::Experiment(_)
        | Command::Networks { .. } => {}
    }
    print::result(&ctx, &command, common.json)
}

/// Makes experiments one after the other, and the page anew after each.
fn experiments(args: &ExperimentArgs, common: &Common, stop: &Arc<AtomicBool>) -> Result<()> {
    let asked = args.experiments(common)?;
    let scale = if args.smoke { Scale::smoke() } else { Scale::full() };
    let scale = Scale {
        seeds: args.seeds.map_or(scale.seeds, |n| (1..=n).collect()),
        epochs: args.epochs.map_or(scale.epochs, |n| n as usize),
        learning_rate: args.learning_rate.unwrap_or(scale.learning_rate),
        train_images: args.train_images.map_or(scale.train_images, |n| n as usize),
        ..scale
    };
    let dataset = common.data.as_deref().unwrap_or("embedded");
    let ui = if common.json { Ui::Script } else { Ui::People };
    let lab = Lab::open(
        dataset,
        scale,
        args.out.clone(),
        (common.device.into(), common.threads),
        (ui, Arc::clone(stop)),
    )?;
    let mut records = Vec::new();
    for experiment in asked {
        records.push(experiment::run(experiment, &lab, &args.command(experiment, &lab))?);
        lab.write_page()?;
        if !common.json {
            print::experiment(&records[records.len() - 1], &lab)?;
        }
    }
    if common.json { print::experiments(&records) } else { Ok(()) }
}

fn overrides(common: &Common) -> Overrides {
    Overrides {
        board: common.board.clone(),
        probe: (&common.probe).into(),
        cost_table: common.cost_table.clone(),
        data: common.data.clone(),
        seed: common.seed,
        device: common.device.into(),
        threads: common.threads,
        ..Overrides::default()
    }
}

fn look_at(action: NetworkAction, as_json: bool) -> Result<()> {
    let look = |which: &Which| network::look(&which.name, which.input, which.classes);
    match action {
        NetworkAction::Show { which } => print::network::network(&look(&which)?, as_json),
        NetworkAction::Check { which } => match look(&which) {
            Ok(graph) => print::network::explanation(&explain(&graph), as_json),
            Err(NetworkError::File { path, source }) => {
                print::network::mistakes(&path, source.list(), as_json)
            }
            Err(error) => Err(error.into()),
        },
        NetworkAction::Draw { which, out } => {
            let graph = look(&which)?;
            let out = out.unwrap_or_else(|| format!("{}.png", graph.name).into());
            figures::network::draw(&figures::network::series(&picture(&graph))?, &out)?;
            print::path(&out, as_json)
        }
    }
}

/// Fails if a check does.
fn examine(common: &Common) -> Result<()> {
    let probe = ProbeOptions::from(&common.probe);
    let mut checks = Vec::new();
    doctor::examine(common.board.as_deref(), &probe, &mut |check| {
        checks.push(check);
        if common.json { Ok(()) } else { print::check(checks.last().expect("one was pushed")) }
    })?;
    if common.json {
        print::checks(&checks)?;
    }
    let n_failed = checks.iter().filter(|check| check.outcome == doctor::Outcome::Failed).count();
    anyhow::ensure!(n_failed == 0, "{n_failed} of {} checks failed", checks.len());
    Ok(())
}

fn new_board(chip: &str, run_from: Option<RunFrom>, out: Option<PathBuf>) -> Result<PathBuf> {
    let (name, text) = board::new_board(chip, run_from)?;
    let out = out.unwrap_or_else(|| format!("{name}.toml").into());
    anyhow::ensure!(!out.exists(), "{} exists already; delete it, or give another --out", out.display());
    run::write_atomic(&out, text.as_bytes())?;
    Ok(out)
}

fn init(dir: &Path) -> Result<()> {
    let path = dir.join("edgeslim.toml");
    anyhow::ensure!(
        !path.exists(),
        "{} exists already; delete it, or give another directory",
        path.display()
    );
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    run::write_atomic(&path, RunConfig::TEMPLATE.as_bytes())?;
    put(format_args!("wrote {}; edit it, then: edgeslim run --run {}\n", path.display(), dir.display()))
}

/// The board of an `edgeslim.toml`, where there is one, is only used if none is typed.
fn profile_list(common: &Common, list: &Path, out: Option<&Path>, stop: &AtomicBool) -> Result<()> {
    let name = match &common.board {
        Some(name) => name.clone(),
        None => {
            let config = common.run.join("edgeslim.toml");
            anyhow::ensure!(
                config.exists(),
                "no board is given, and there is no {}; give --board (`edgeslim boards` lists them)",
                config.display()
            );
            RunConfig::load(&config)?.board
        }
    };
    let (specs, seed) = (profile::list::read(list)?, common.seed.unwrap_or(1));
    let ui = if common.json { Ui::Script } else { Ui::People };
    let (board, probe) = (board::load(&name)?, ProbeOptions::from(&common.probe));
    let table = stage::profile::profile_list(&board, &probe, &specs, seed, out, (ui, stop))?;
    match out {
        Some(out) => print::path(out, common.json),
        None => print::table(&table, common.json),
    }
}
