//! A fork-join pool that spins briefly before it sleeps: a training step forks a few hundred times.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};
use std::time::Instant;

/// A few microseconds; under Miri, where they would be a minute, few enough that threads sleep.
const SPINS: u32 = if cfg!(miri) { 20 } else { 20_000 };

type Job = *const (dyn Fn(usize, usize) + Sync);

struct Shared {
    generation: AtomicUsize,
    next: AtomicUsize,
    n_tasks: AtomicUsize,
    pending: AtomicUsize,
    /// Of the current job. Those after the first are kept too: one that is dropped by a worker could panic again, and
    /// `run` would return before the workers have finished.
    panics: Mutex<Vec<Box<dyn Any + Send>>>,
    quit: AtomicBool,
    job: UnsafeCell<Option<Job>>,
    parked: Vec<AtomicBool>,
}

// SAFETY: `job` is written only by `Pool::run` while no worker is between a new generation and its decrement of
// `pending`; the release of `generation` publishes it. Everything else is atomic.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer in `job` is only followed during the `run` that set it.
unsafe impl Send for Shared {}

/// A fixed set of threads, the caller's included.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    recorded: Option<Vec<Vec<f64>>>,
}

impl Pool {
    /// A pool of `n_threads` (at least 1), the caller of [`Pool::run`] being one of them.
    pub fn new(n_threads: usize) -> Pool {
        let shared = Arc::new(Shared {
            generation: 0.into(),
            next: 0.into(),
            n_tasks: 0.into(),
            pending: 0.into(),
            panics: Mutex::default(),
            quit: false.into(),
            job: None.into(),
            parked: (0..n_threads).map(|_| false.into()).collect(),
        });
        let spawn = |thread_idx: usize| {
            let shared = shared.clone();
            std::thread::spawn(move || serve(&shared, thread_idx))
        };
        let workers = (1..n_threads).map(spawn).collect();
        Pool { shared, workers, recorded: None }
    }

    /// Until [`Pool::recorded`], tasks run one after the other on the caller and their times are kept.
    pub fn record(&mut self) {
        self.recorded = Some(Vec::new());
    }

    /// Seconds of every task of every [`Pool::run`] since [`Pool::record`], in order.
    pub fn recorded(&mut self) -> Vec<Vec<f64>> {
        self.recorded.take().unwrap_or_default()
    }

    /// Calls `task(task_idx, thread_idx)` once for every `task_idx < n_tasks`; returns when all are done. No two
    /// calls at a time have the same `thread_idx`.
    ///
    /// # Panics
    /// With the first panic of a task, once no task runs any more; the pool can be used again.
    pub fn run(&mut self, n_tasks: usize, task: &(dyn Fn(usize, usize) + Sync)) {
        if let Some(recorded) = &mut self.recorded {
            recorded.push(timed(n_tasks, task));
            return;
        }
        if self.workers.is_empty() || n_tasks <= 1 {
            (0..n_tasks).for_each(|task_idx| task(task_idx, 0));
            return;
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes; this function does not return before every worker has finished with
        // the job, and `&mut self` keeps a second `run` out.
        let job = unsafe { std::mem::transmute::<*const (dyn Fn(usize, usize) + Sync + '_), Job>(task) };
        // SAFETY: `pending` is 0, so no worker reads `job` now.
        unsafe { *shared.job.get() = Some(job) };
        shared.next.store(0, Relaxed);
        shared.n_tasks.store(n_tasks, Relaxed);
        shared.pending.store(self.workers.len(), Relaxed);
        shared.generation.fetch_add(1, SeqCst);
        for (parked, worker) in shared.parked[1..].iter().zip(&self.workers) {
            if parked.load(SeqCst) {
                Thread::unpark(worker.thread());
            }
        }
        work(shared, 0);
        let mut spins = 0u32;
        while shared.pending.load(Acquire) != 0 {
            spins += 1;
            if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        let panics = std::mem::take(&mut *shared.panics.lock().expect("nothing panics under this lock"));
        let first = panics.into_iter().next();
        if let Some(panic) = first {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.quit.store(true, SeqCst);
        self.shared.generation.fetch_add(1, SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            let _ = worker.join();
        }
    }
}

/// Runs the tasks one after the other; returns the seconds of each.
fn timed(n_tasks: usize, task: &(dyn Fn(usize, usize) + Sync)) -> Vec<f64> {
    let mut seconds = Vec::with_capacity(n_tasks);
    let mut started = Instant::now();
    for task_idx in 0..n_tasks {
        task(task_idx, 0);
        let ended = Instant::now();
        seconds.push((ended - started).as_secs_f64());
        started = ended;
    }
    seconds
}

/// Waits for jobs until the pool is dropped.
fn serve(shared: &Shared, thread_idx: usize) {
    let mut seen = 0;
    loop {
        let mut spins = 0u32;
        while shared.generation.load(Acquire) == seen {
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
                continue;
            }
            shared.parked[thread_idx].store(true, SeqCst);
            if shared.generation.load(SeqCst) == seen {
                std::thread::park();
            }
            shared.parked[thread_idx].store(false, SeqCst);
        }
        if shared.quit.load(Relaxed) {
            return;
        }
        seen = shared.generation.load(Acquire);
        work(shared, thread_idx);
        shared.pending.fetch_sub(1, Release);
    }
}

/// Takes tasks of the current job until none is left; a panic is kept, for the caller of `run` to raise.
fn work(shared: &Shared, thread_idx: usize) {
    // SAFETY: the generation that this thread saw published `job`, and `run` waits for this thread.
    let job = unsafe { &*(*shared.job.get()).expect("run sets the job before the generation") };
    let n_tasks = shared.n_tasks.load(Relaxed);
    loop {
        let task_idx = shared.next.fetch_add(1, Relaxed);
        if task_idx >= n_tasks {
            return;
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(task_idx, thread_idx))) {
            shared.panics.lock().expect("nothing panics under this lock").push(panic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for n_threads in 1..4 {
            let mut pool = Pool::new(n_threads);
            for n_tasks in [0, 1, 2, 7, 50] {
                let counts: Vec<AtomicUsize> = (0..n_tasks).map(|_| 0.into()).collect();
                pool.run(n_tasks, &|i, thread_idx| {
                    assert!(thread_idx < n_threads);
                    counts[i].fetch_add(1, SeqCst);
                });
                assert!(counts.iter().all(|c| c.load(SeqCst) == 1));
            }
        }
    }

    #[test]
    fn a_panic_of_a_task_reaches_the_caller_and_leaves_a_pool_that_works() {
        for n_threads in 1..4 {
            let mut pool = Pool::new(n_threads);
            for _ in 0..3 {
                let done = AtomicUsize::new(0);
                let task = |i: usize, _: usize| {
                    assert!(i % 5 != 3, "task {i} fails");
                    done.fetch_add(1, SeqCst);
                };
                let panic = catch_unwind(AssertUnwindSafe(|| pool.run(10, &task)));
                let panic = panic.expect_err("tasks 3 and 8 fail");
                let message = panic.downcast_ref::<String>().expect("a formatted message");
                assert!(message == "task 3 fails" || message == "task 8 fails", "{message}");
                // One thread stops at the first; of many, the others go on.
                assert_eq!(done.load(SeqCst), if n_threads == 1 { 3 } else { 8 });

                let sum = AtomicUsize::new(0);
                pool.run(10, &|i, _| {
                    sum.fetch_add(i, SeqCst);
                });
                assert_eq!(sum.load(SeqCst), 45);
            }
        }
    }

    #[test]
    fn a_recording_has_the_time_of_every_task_of_every_run() {
        let mut pool = Pool::new(2);
        pool.record();
        let sleep = |idx: usize, thread_idx: usize| {
            assert_eq!(thread_idx, 0);
            std::thread::sleep(std::time::Duration::from_millis(10 * idx as u64));
        };
        pool.run(3, &sleep);
        pool.run(1, &sleep);
        let recorded = pool.recorded();
        assert_eq!(recorded.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
        assert!(recorded[0][1] >= 0.01 && recorded[0][2] >= 0.02 && recorded[1][0] < 0.01, "{recorded:?}");
        pool.run(3, &|_, _| ());
        assert!(pool.recorded().is_empty());
    }

    #[test]
    fn threads_that_sleep_wake_for_the_next_job_and_for_the_end() {
        let mut pool = Pool::new(3);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let count = AtomicUsize::new(0);
            pool.run(5, &|_, _| {
                count.fetch_add(1, SeqCst);
            });
            assert_eq!(count.load(SeqCst), 5);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
