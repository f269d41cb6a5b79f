//! Mutated files and frames for every parser: each input is read or refused, without a panic, in bounded time and memory.
//!
//! An input follows from its target, seed and number alone, so that a failure is repeated by what it prints. These tests
//! are short; `cargo xtask fuzz` goes on for as many inputs as it is told.

mod corpus;
mod counting;
mod mutate;
mod run;
mod targets;

use run::{fuzz, is_accepted};
use targets::TARGETS;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

macro_rules! targets {
    ($($name:ident),*) => { $(
        #[test]
        fn $name() {
            fuzz(stringify!($name));
        }
    )* };
}

targets!(
    blob, request, response, cost_table, idx, cifar, checkpoint, board, network, config, layers, budget,
    records
);

#[test]
fn every_file_of_the_corpus_is_read_or_refused_as_its_name_says() {
    if std::env::var_os("EDGESLIM_WRITE_CORPUS").is_some() {
        corpus::write();
    }
    for target in TARGETS {
        let seeds = corpus::seeds(target.name);
        assert!(!seeds.is_empty(), "{} has no corpus", target.name);
        for (file, bytes) in seeds {
            let refused = file.starts_with("refused-");
            assert_ne!(is_accepted(target, &bytes), refused, "corpus/{}/{file}", target.name);
        }
    }
}
