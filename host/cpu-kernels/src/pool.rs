//! A fork-join pool that spins briefly before it sleeps: a training step forks a few hundred times.

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::thread::{JoinHandle, Thread};

type Job = *const (dyn Fn(usize, usize) + Sync);

struct Shared {
    generation: AtomicUsize,
    next: AtomicUsize,
    n_tasks: AtomicUsize,
    pending: AtomicUsize,
    panicked: AtomicBool,
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
}

impl Pool {
    /// A pool of `n_threads` (at least 1), the caller of [`Pool::run`] being one of them.
    pub fn new(n_threads: usize) -> Pool {
        let shared = Arc::new(Shared {
            generation: 0.into(),
            next: 0.into(),
            n_tasks: 0.into(),
            pending: 0.into(),
            panicked: false.into(),
            quit: false.into(),
            job: None.into(),
            parked: (0..n_threads).map(|_| false.into()).collect(),
        });
        let spawn = |thread_idx: usize| {
            let shared = shared.clone();
            std::thread::spawn(move || serve(&shared, thread_idx))
        };
        let workers = (1..n_threads).map(spawn).collect();
        Pool { shared, workers }
    }

    /// Calls `task(task_idx, thread_idx)` once for every `task_idx < n_tasks`; returns when all are done. No two
    /// calls at a time have the same `thread_idx`.
    pub fn run(&mut self, n_tasks: usize, task: &(dyn Fn(usize, usize) + Sync)) {
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
            if spins < 20_000 { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        assert!(!shared.panicked.load(Relaxed), "a task of the pool panicked");
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

/// Waits for jobs until the pool is dropped.
fn serve(shared: &Shared, thread_idx: usize) {
    let mut seen = 0;
    loop {
        let mut spins = 0u32;
        while shared.generation.load(Acquire) == seen {
            spins += 1;
            if spins < 20_000 {
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

/// Takes tasks of the current job until none is left; a panic is noted, for the caller of `run` to raise.
fn work(shared: &Shared, thread_idx: usize) {
    // SAFETY: the generation that this thread saw published `job`, and `run` waits for this thread.
    let job = unsafe { &*(*shared.job.get()).expect("run sets the job before the generation") };
    let n_tasks = shared.n_tasks.load(Relaxed);
    loop {
        let task_idx = shared.next.fetch_add(1, Relaxed);
        if task_idx >= n_tasks {
            return;
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(task_idx, thread_idx)));
        if outcome.is_err() {
            shared.panicked.store(true, Relaxed);
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
}
