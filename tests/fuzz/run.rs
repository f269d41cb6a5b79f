//! Feeds a target.

use crate::corpus;
use crate::counting::peak_bytes;
use crate::mutate::mutated;
use crate::targets::{TARGETS, Target};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Of the short runs; `cargo xtask fuzz` takes another one each time.
const SEED: u64 = 1;
/// A short run ends after that many inputs, or when its time is up.
const SHORT_INPUTS: u64 = 50_000;
const SHORT_TIME: Duration = Duration::from_millis(2500);
/// What one input may take.
const MOST_TIME: Duration = Duration::from_secs(1);
/// What one input may take in memory, beyond so many times its own length.
const MOST_BYTES: usize = 64 << 20;
const MOST_TIMES_INPUT: usize = 64;
/// Short runs one after another: two in parallel would slow each other.
static ONE: Mutex<()> = Mutex::new(());

/// How far a run goes.
struct Plan {
    seed: u64,
    /// Number of the first input.
    first: u64,
    inputs: u64,
    time: Option<Duration>,
}

/// Runs the target `name`, as far as the environment or the short run's limits say.
///
/// # Panics
/// With the target, the seed, the number of the input and the file that it was written to, for the first input that
/// panics, takes too long or takes too much memory.
pub fn fuzz(name: &str) {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let target = TARGETS.iter().find(|target| target.name == name).expect("the tests name targets");
    let corpus: Vec<Vec<u8>> = corpus::seeds(name).into_iter().map(|(_, bytes)| bytes).collect();
    let plan = plan();
    let (started, mut accepted, mut slowest, mut largest) = (Instant::now(), 0, Duration::ZERO, 0);
    let mut said = Instant::now();
    let mut done = 0;
    while done < plan.inputs && plan.time.is_none_or(|most| started.elapsed() < most) {
        let number = plan.first + done;
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        rng.set_stream(number);
        let mut input = mutated(&mut rng, &corpus, target.kind);
        (target.repair)(&mut input, &mut rng);
        let watched = watch(target, &input, number);
        let fault = match watched {
            Err(message) => Some(format!("panics: {message}")),
            Ok(seen) => {
                accepted += u64::from(seen.accepted);
                (slowest, largest) = (slowest.max(seen.time), largest.max(seen.bytes));
                seen.fault(input.len())
            }
        };
        if let Some(fault) = fault {
            let path = std::env::temp_dir().join(format!("edgeslim-fuzz-{name}-{}-{number}", plan.seed));
            let _ = std::fs::write(&path, &input);
            panic!("{name}: seed {}, input {number} {fault}; it is in {}", plan.seed, path.display());
        }
        done += 1;
        if plan.time.is_none() && said.elapsed() > Duration::from_secs(10) {
            said = Instant::now();
            let rate = done as f64 / started.elapsed().as_secs_f64();
            println!("{name}: {done} of {} inputs, {accepted} accepted, {rate:.0}/s", plan.inputs);
        }
    }
    println!(
        "{name}: {done} inputs from {} of seed {}, {accepted} accepted, in {:.1} s; slowest {slowest:.1?}, largest {largest} bytes",
        plan.first,
        plan.seed,
        started.elapsed().as_secs_f64()
    );
    assert!(
        accepted > 0 || done < 1000,
        "{name}: every input was refused; nothing behind the first check was tested"
    );
}

/// Whether the target takes an input for a valid one.
pub fn is_accepted(target: &Target, input: &[u8]) -> bool {
    (target.parse)(input)
}

fn plan() -> Plan {
    let number = |key| std::env::var(key).ok().map(|value: String| value.parse().expect(key));
    let inputs = number("EDGESLIM_FUZZ_INPUTS");
    Plan {
        seed: number("EDGESLIM_FUZZ_SEED").unwrap_or(SEED),
        first: number("EDGESLIM_FUZZ_FIRST").unwrap_or(0),
        inputs: inputs.unwrap_or(SHORT_INPUTS),
        time: inputs.is_none().then_some(SHORT_TIME),
    }
}

struct Seen {
    accepted: bool,
    time: Duration,
    bytes: usize,
}

impl Seen {
    fn fault(&self, input_len: usize) -> Option<String> {
        if self.time > MOST_TIME {
            return Some(format!("takes {:.1?}", self.time));
        }
        let most = MOST_BYTES + MOST_TIMES_INPUT * input_len;
        (self.bytes > most).then(|| format!("takes {} bytes of memory, it has {input_len}", self.bytes))
    }
}

/// Parses one input; a slow one again, as the machine may have been busy elsewhere.
fn watch(target: &Target, input: &[u8], number: u64) -> Result<Seen, String> {
    let mut least = once(target, input, number)?;
    for _ in 0..3 {
        if least.time <= MOST_TIME {
            break;
        }
        let again = once(target, input, number)?;
        least.time = least.time.min(again.time);
    }
    Ok(least)
}

fn once(target: &Target, input: &[u8], number: u64) -> Result<Seen, String> {
    let started = Instant::now();
    let (result, bytes) = peak_bytes(number, || catch_unwind(AssertUnwindSafe(|| (target.parse)(input))));
    let time = started.elapsed();
    match result {
        Ok(accepted) => Ok(Seen { accepted, time, bytes }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default())
        }
    }
}
