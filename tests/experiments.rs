//! The papers' experiments, as small as they can be: `edgeslim experiment all --smoke`.

use edgeslim::experiment::Experiment;
use reports::experiment::ExperimentRecord;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn edgeslim(args: &[&str], out: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgeslim"));
    command.arg("experiment").args(args).arg("--out").arg(out).env_remove("PROBE_RS_PROBE").output().unwrap()
}

fn succeed(args: &[&str], out: &Path) -> Vec<ExperimentRecord> {
    let output = edgeslim(args, out);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn every_experiment_gives_a_record_a_figure_and_its_part_of_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("experiments");
    let records = succeed(&["all", "--smoke", "--json"], &out);
    let page = fs::read_to_string(folder.path().join("experiments.md")).unwrap();
    assert_eq!(records.len(), Experiment::ALL.len());
    for (record, experiment) in records.iter().zip(Experiment::ALL) {
        let name = experiment.name();
        assert_eq!(record.name, name);
        assert!(
            record.panels.iter().all(|panel| panel.series.iter().all(|s| !s.points.is_empty())),
            "{name}"
        );
        assert!(!record.findings.is_empty(), "{name}");
        assert!(record.findings.iter().all(|finding| finding.found.n <= 2), "{name}: two seeds");
        let saved: ExperimentRecord = reports::record::load(&out.join(format!("{name}.json"))).unwrap();
        assert_eq!(saved, *record);
        let png = fs::read(out.join(format!("{name}.png"))).unwrap();
        assert!(png.starts_with(b"\x89PNG"), "{name}");
        assert!(page.contains(&format!("(experiments/{name}.png)")), "{page}");
        assert!(page.contains(&record.findings[0].claim), "{page}");
    }
}

#[test]
fn a_second_time_nothing_is_trained_and_the_bytes_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("experiments");
    let args = ["distillation", "--smoke", "--json"];
    let first = succeed(&args, &out);
    let trainings = || -> BTreeMap<PathBuf, std::time::SystemTime> {
        let entries = fs::read_dir(out.join("trainings")).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap())).collect()
    };
    let (before, written) = (files(&out), trainings());
    assert_eq!(written.len(), 4, "two systems with two seeds");
    assert_eq!(succeed(&args, &out), first);
    assert!(files(&out) == before);
    assert_eq!(trainings(), written);
    // Another experiment of the folder takes what it shares: the US-Net with distillation.
    succeed(&["calibration", "--smoke", "--json"], &out);
    assert_eq!(trainings(), written);
}

#[test]
fn an_unknown_experiment_is_refused_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("experiments");
    let output = edgeslim(&["switchable-bm", "--smoke"], &out);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("did you mean `switchable-bn`?"), "{told}");
    assert!(!out.exists());
}

#[test]
fn data_that_leaves_nothing_to_train_on_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = edgeslim(&["distillation"], &folder.path().join("experiments"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("5000 are held out"), "{told}");
}
