//! Boards and probes that fail while they measure: what was lost is measured again, or an error says what happened.

use cost_tables::table::{CostTable, Entry, Provenance, TableError};
use device_bench::kernels::KernelSet;
use device_bench::wire::FaultKind;
use device_bench::{LayerSpec, Op, Padding};
use edgeslim::board::{BoardError, BoardFile, LayerPlan, LayerTiming, Link, ProbeOptions, Stop, load};
use edgeslim::config::ProfileConfig;
use edgeslim::firmware;
use edgeslim::profile::{Profile, ProfileError, provenance};
use edgeslim_tests::case::{Random, bytes, random_case_of};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use virtual_board::{Fault, accesses, inject};

/// Faults, unless `EDGESLIM_FAULTS` says how many (`cargo xtask torture`).
const FAULTS: usize = 12;
/// Profiles at a time.
const WORKERS: usize = 2;
const SEED: u32 = 3;
const M4: &str = "virtual-m4";
const RV32: &str = "virtual-rv32";
const PLAN: LayerPlan = LayerPlan { warmups: 1, samples: 3, seed: SEED };
/// The accesses between an open board and the middle of a long layer; a short request with its answer takes 42 to 175.
const INTO_LAYER: u64 = 300;

/// A board with a list of faults, and its firmware.
struct Faulty {
    board: BoardFile,
    elf: PathBuf,
    /// Strikes while the first layer is measured, if that is a long one.
    in_first_layer: Option<Fault>,
}

impl Faulty {
    fn new(faults: &str) -> Faulty {
        Self::on(M4, faults)
    }

    fn on(name: &str, faults: &str) -> Faulty {
        let mut board = load(name).unwrap();
        let elf = firmware::build(&board, &board.memory().unwrap()).unwrap();
        board.machine = board.machine.map(|machine| format!("{machine} {faults}"));
        Faulty { board, elf, in_first_layer: None }
    }

    /// A board without a fault as yet, with a count of accesses of its own.
    fn quiet(name: &str) -> Faulty {
        static N_QUIET: AtomicU64 = AtomicU64::new(0);
        // A script is known by its words; this one is over after more accesses than any test makes.
        Self::on(name, &format!("drop@{}", u64::MAX - N_QUIET.fetch_add(1, Ordering::Relaxed)))
    }

    fn open(&self) -> Result<Link, BoardError> {
        Link::open(&self.board, &self.elf, &ProbeOptions::default())
    }

    fn n_accesses(&self) -> u64 {
        accesses(self.board.machine.as_deref().unwrap())
    }

    /// Lets the fault strike the open board, after `n_more` more accesses.
    fn inject(&self, fault: Fault, n_more: u64) {
        inject(self.board.machine.as_deref().unwrap(), fault, n_more);
    }

    /// The table of a small profile, as it would be written, and how often the board was opened for it.
    fn profile(&self, layers: &[LayerSpec]) -> Result<(String, usize), ProfileError> {
        let mut table = CostTable::new(Provenance::default());
        let n_opened = self.profile_into(layers, &mut table)?;
        Ok((table.to_csv(), n_opened))
    }

    /// Goes on from a table.
    fn profile_into(&self, layers: &[LayerSpec], table: &mut CostTable) -> Result<usize, ProfileError> {
        let (config, stop) = (ProfileConfig { samples: 3, warmups: 1, time_s: None }, AtomicBool::new(false));
        let first = self.open().map_err(|source| ProfileError::Board { layer: layers[0], source })?;
        if let (Some(fault), Some(serial)) = (self.in_first_layer, self.board.machine.clone()) {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(400));
                inject(&serial, fault, 0);
            });
        }
        table.provenance = provenance(&self.board, first.info(), None, SEED);
        let (mut first, mut n_opened) = (Some(first), 1);
        let mut open = || {
            first.take().map_or_else(
                || {
                    n_opened += 1;
                    self.open()
                },
                Ok,
            )
        };
        let mut profile = Profile {
            config: &config,
            seed: SEED,
            open: &mut open,
            save: &mut |_| Ok::<(), TableError>(()),
            watch: &mut |_| {},
            stop: &stop,
        };
        profile.run(layers, table)?;
        Ok(n_opened)
    }
}

fn layers() -> Vec<LayerSpec> {
    let max_pool = LayerSpec { op: Op::MaxPool, ..LayerSpec::depthwise(9, 9, 7, 2, 2, Padding::NONE) };
    let conv = |c_out| LayerSpec::conv(14, 14, 16, c_out, 3, 1, Padding::all(1));
    vec![conv(8), conv(16), max_pool, conv(24), LayerSpec::linear(300, 10), LayerSpec::add(9, 9, 7)]
}

/// A board without a fault.
struct Quiet {
    /// Accesses until it is open.
    n_opening: u64,
    /// Accesses until it is profiled.
    n_profiling: u64,
    table: String,
}

static QUIET: LazyLock<Quiet> = LazyLock::new(|| {
    let quiet = Faulty::quiet(M4);
    quiet.open().unwrap();
    let n_opening = quiet.n_accesses();
    let (table, n_opened) = quiet.profile(&layers()).unwrap();
    assert_eq!(n_opened, 1);
    Quiet { n_opening, n_profiling: quiet.n_accesses() - n_opening, table }
});

/// Half a second and thousands of accesses.
fn long_layer() -> LayerSpec {
    LayerSpec::conv(56, 56, 64, 64, 3, 1, Padding::all(1))
}

/// The open board, and what comes of a long layer during which it has the fault.
fn struck(name: &str, fault: Fault) -> (Link, Result<LayerTiming, BoardError>, Duration) {
    let board = Faulty::quiet(name);
    let mut link = board.open().unwrap();
    let n_opening = board.n_accesses();
    board.inject(fault, INTO_LAYER);
    let started = Instant::now();
    let timed = link.time_layer(&long_layer(), &PLAN);
    assert!(board.n_accesses() > n_opening + INTO_LAYER, "{fault:?} did not strike");
    (link, timed, started.elapsed())
}

#[test]
fn a_probe_that_is_unplugged_or_stalls_is_told_at_once() {
    let (mut link, timed, after) = struck(M4, Fault::Drop);
    assert!(matches!(timed, Err(BoardError::Probe { .. })) && after < Duration::from_secs(1), "{timed:?}");
    let again = link.spin(1).unwrap_err();
    assert!(format!("{again:?}").contains("Unplugged"), "{again:?}");
    let (_, timed, after) = struck(M4, Fault::Stall);
    assert!(matches!(timed, Err(BoardError::Probe { .. })) && after < Duration::from_secs(3), "{timed:?}");
}

#[test]
fn a_board_that_is_reset_halted_or_locked_up_is_told_at_once_and_why() {
    for (fault, wanted) in
        [(Fault::Reset, "watchdog"), (Fault::Halt, "was halted at 0x"), (Fault::LockUp, "locked up")]
    {
        let (_, timed, after) = struck(M4, fault);
        let Err(error @ BoardError::Stopped { .. }) = timed else { panic!("{fault:?}: {timed:?}") };
        assert!(error.to_string().contains(wanted), "{error}");
        assert!(after < Duration::from_secs(1), "{fault:?}: after {after:?}");
    }
}

#[test]
fn a_reset_between_two_requests_is_told_too() {
    let board = Faulty::quiet(M4);
    let mut link = board.open().unwrap();
    board.inject(Fault::Reset, 200);
    // The firmware has started anew and would answer all that follow.
    let error = (0..200).find_map(|_| link.spin(1).err()).expect("it was reset");
    assert!(matches!(error, BoardError::Stopped { stop: Stop::Reset, .. }), "{error:?}");
}

#[test]
fn a_hard_fault_and_a_used_up_stack_are_told_with_their_registers() {
    let (_, timed, _) = struck(M4, Fault::HardFault);
    let Err(error @ BoardError::Fault { kind: FaultKind::HardFault, .. }) = timed else {
        panic!("{timed:?}")
    };
    assert!(error.to_string().contains("pc 0xe0000000"), "{error}");
    let (_, timed, _) = struck(M4, Fault::Stack);
    assert!(matches!(timed, Err(BoardError::Fault { kind: FaultKind::StackOverflow, .. })), "{timed:?}");
}

#[test]
fn a_counter_that_stands_still_or_counts_another_clock_is_told() {
    for fault in [Fault::Stuck, Fault::Slow] {
        let (mut link, timed, _) = struck(M4, fault);
        let right = Faulty::quiet(M4).open().unwrap().time_layer(&long_layer(), &PLAN).unwrap();
        assert_ne!(timed.unwrap(), right, "{fault:?} did nothing");
        let error = link.check_counter().unwrap_err();
        assert!(matches!(error, BoardError::Counter { expected: 10_000, .. }), "{fault:?}: {error:?}");
    }
}

#[test]
fn a_counter_that_stands_still_slows_down_or_jumps_never_ends_in_the_table() {
    let (right, _) = Faulty::quiet(M4).profile(&[long_layer()]).unwrap();
    // A figure that jumped disagrees with the others, and the layer is measured again without opening the board anew.
    for (fault, wanted_openings) in [(Fault::Glitch, 1), (Fault::Stuck, 2), (Fault::Slow, 2)] {
        let board = Faulty { in_first_layer: Some(fault), ..Faulty::quiet(M4) };
        let (table, n_opened) = board.profile(&[long_layer()]).unwrap();
        assert_eq!((table, n_opened), (right.clone(), wanted_openings), "{fault:?}");
    }
}

#[test]
fn a_layer_that_always_fails_ends_with_its_own_fault_and_a_lost_probe_with_advice() {
    let often = |fault: &str| {
        let moments = (0..4).map(|i| format!("{fault}@{} ", QUIET.n_opening + 500 + i * 1_500));
        Faulty::new(&moments.collect::<String>()).profile(&[long_layer()]).unwrap_err()
    };
    let error = often("fault");
    let ProfileError::Board { source, .. } = &error else { panic!("{error:?}") };
    assert!(
        source.to_string().contains("HardFault") && source.to_string().contains("pc 0xe0000000"),
        "{error}"
    );
    let error = often("drop");
    assert!(matches!(error, ProfileError::Lost { .. }) && error.to_string().contains("cable"), "{error:?}");
}

#[test]
fn a_risc_v_board_that_fails_is_told_at_once_and_why() {
    let faults = [Fault::Drop, Fault::Stall, Fault::Reset, Fault::Halt, Fault::HardFault, Fault::Stack];
    let told = faults.map(|fault| {
        let (_, timed, after) = struck(RV32, fault);
        // Sooner than any wait for an answer is given up; the layer alone takes seconds of a busy host.
        assert!(after < Duration::from_secs(10), "{fault:?}: after {after:?}");
        match timed {
            Err(BoardError::Probe { .. }) => "probe",
            Err(BoardError::Stopped { stop: Stop::Reset, .. }) => "reset",
            Err(BoardError::Stopped {
                stop: Stop::Halted { at: Some(0x8000_0000..0x8040_0000) }, ..
            }) => "halted",
            // An access fault of an instruction.
            Err(BoardError::Fault { kind: FaultKind::HardFault, registers, .. })
                if registers.contains(&("mcause", 1)) && registers.contains(&("pc", 0xe000_0000)) =>
            {
                "exception"
            }
            Err(BoardError::Fault { kind: FaultKind::StackOverflow, .. }) => "stack",
            timed => panic!("{fault:?}: {timed:?}"),
        }
    });
    assert_eq!(told, ["probe", "probe", "reset", "halted", "exception", "stack"]);
    let unknown = Faulty::on(RV32, "slow@1").open().err().expect("it has no system timer");
    assert!(format!("{unknown:?}").contains("NoSuchFault"), "{unknown:?}");
}

#[test]
fn a_profile_of_a_risc_v_board_goes_on_after_a_fault_to_the_same_table() {
    let (right, n_opened) = Faulty::quiet(RV32).profile(&layers()).unwrap();
    assert_eq!(n_opened, 1);
    for fault in [Fault::Drop, Fault::Reset, Fault::HardFault] {
        let board = Faulty { in_first_layer: Some(fault), ..Faulty::quiet(RV32) };
        let layers = [&[long_layer()], &layers()[..]].concat();
        let (table, n_opened) = board.profile(&layers).unwrap();
        assert_eq!(n_opened, 2, "{fault:?}");
        let without = |table: &str| {
            table
                .lines()
                .filter(|line| right.contains(line))
                .map(|line| format!("{line}\n"))
                .collect::<String>()
        };
        assert_eq!(without(&table), right, "{fault:?}");
    }
}

/// What `request` makes of the fault on eight boards; it ends with what it was asked for, or an error.
fn errors_of(fault: Fault, mut request: impl FnMut(&mut Link) -> Result<(), BoardError>) -> Vec<String> {
    let board = Faulty::quiet(M4);
    let attempts = (0..8).map(|_| {
        let mut link = board.open().unwrap();
        request(&mut link).unwrap();
        board.inject(fault, 0);
        request(&mut link)
    });
    attempts.filter_map(Result::err).map(|error| error.to_string()).collect()
}

#[test]
fn a_garbled_frame_is_never_taken_for_a_figure_or_another_request() {
    let spec = LayerSpec::linear(40, 10);
    let plan = LayerPlan { samples: 60, ..PLAN };
    let right = Faulty::quiet(M4).open().unwrap().time_layer(&spec, &plan).unwrap();
    for (fault, told) in [(Fault::Corrupt, "garbled"), (Fault::CorruptWrite, "could not read the request")] {
        let errors = errors_of(fault, |link| {
            link.time_layer(&spec, &plan).map(|timing| assert_eq!(timing, right, "{fault:?}"))
        });
        assert!(errors.iter().filter(|error| error.contains(told)).count() > 4, "{fault:?}: {errors:#?}");
    }
}

#[test]
fn a_bit_that_flips_while_firmware_or_model_is_loaded_is_noticed() {
    let case = random_case_of(&mut Random(5), LayerSpec::linear(400, 20));
    let blob = case.blob();
    let wanted = case.run(&blob, KernelSet::Portable);
    for fault in [Fault::Corrupt, Fault::CorruptWrite] {
        let errors = errors_of(fault, |link| {
            link.load_model(bytes(&blob))?;
            link.run_model(&case.input()).map(|output| assert_eq!(output, wanted, "{fault:?}"))
        });
        let told = errors.iter().filter(|error| error.contains("the model was written, but address"));
        assert_eq!(told.count(), 8, "{fault:?}: {errors:#?}");
    }
    let right = Faulty::quiet(M4).open().unwrap().time_layer(&layers()[0], &PLAN).unwrap();
    let loaded = (1..QUIET.n_opening).step_by(61).map(|at| {
        let timed = Faulty::new(&format!("corrupt-write@{at}")).open();
        timed
            .and_then(|mut link| link.time_layer(&layers()[0], &PLAN))
            .map(|timing| assert_eq!(timing, right))
    });
    let errors: Vec<String> = loaded.filter_map(Result::err).map(|error| error.to_string()).collect();
    let n_told = errors.iter().filter(|error| error.contains("verification failed")).count();
    assert!(n_told > 2, "{errors:#?}");
}

#[test]
fn a_profile_that_is_struck_at_any_moment_ends_with_the_same_table() {
    let n_faults =
        std::env::var("EDGESLIM_FAULTS").map_or(FAULTS, |n| n.parse().expect("EDGESLIM_FAULTS is a number"));
    let (next, n_struck) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let idx = next.fetch_add(1, Ordering::Relaxed);
                    if idx >= n_faults {
                        break;
                    }
                    let at = ChaCha8Rng::seed_from_u64(idx as u64).random_range(1..QUIET.n_profiling);
                    n_struck.fetch_add(usize::from(strike(idx, at)), Ordering::Relaxed);
                }
            });
        }
    });
    let n_struck = n_struck.into_inner();
    println!("{n_struck} of {n_faults} faults struck before the profile had ended");
    assert!(n_struck * 4 >= n_faults * 3, "only {n_struck} of {n_faults} faults struck: no test");
}

/// Whether the fault struck before the profile had ended.
fn strike(idx: usize, at: u64) -> bool {
    let (fault, _) = Fault::ALL[idx % Fault::ALL.len()];
    let board = Faulty::new(&format!("{fault}@{at}"));
    let started = Instant::now();
    let first = board.profile(&layers());
    let told = match &first {
        Ok((_, n_opened)) => format!("went on, opened {n_opened} times"),
        Err(error) => format!("{error}: {:?}", std::error::Error::source(error)),
    };
    println!("{fault} at {at}: {told}, after {:?}", started.elapsed());
    let (table, _) =
        first.or_else(|_| board.profile(&layers())).unwrap_or_else(|e| panic!("{fault} at {at}: {e:?}"));
    assert_eq!(table, QUIET.table, "{fault} at {at}");
    board.n_accesses() >= at
}

#[test]
fn a_table_that_the_board_no_longer_agrees_with_is_dropped() {
    let quiet = CostTable::parse(&QUIET.table, Path::new("quiet.csv")).unwrap();
    let (sentinel, entry) = quiet.iter().next().unwrap();
    for (permille, agrees) in [(1000, true), (1005, true), (985, false), (1015, false)] {
        let samples = entry.samples.iter().map(|&ticks| ticks * permille / 1000).collect();
        let mut table = CostTable::new(quiet.provenance.clone());
        table.insert(*sentinel, Entry { samples, ..entry.clone() }).unwrap();
        match Faulty::quiet(M4).profile_into(&layers(), &mut table) {
            Ok(_) => assert!(agrees && table.len() == layers().len(), "{permille}"),
            Err(ProfileError::Drift { before, now, .. }) => {
                assert!(!agrees && table.is_empty() && before != now, "{permille}: {before} and {now}");
            }
            Err(error) => panic!("{permille}: {error}"),
        }
    }
}
