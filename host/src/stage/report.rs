//! `report`: the records of a run → charts, a page, `record.json` and `summary.json`.

use super::Context;
use super::retrain::RetrainRecord;
use crate::network::Channels;
use crate::run::Stage;
use anyhow::Result;
use reports::record::{self, RunRecord, Summary, TrainRecord, VerifyRecord};
use std::path::PathBuf;

/// Draws what the stages recorded, and prints a line a candidate.
///
/// # Errors
/// Where a record is missing or nothing can be drawn.
pub fn report(ctx: &Context) -> Result<()> {
    let path = |name: &str| ctx.dir.path(name);
    let inputs =
        [("train", path("train.json")), ("retrain", path("retrain.json")), ("verify", path("verify.json"))];
    let run = load(&inputs);
    let mut outputs = vec![path("record.json"), path("summary.json"), path("report/index.html")];
    outputs.extend(run.iter().flat_map(reports::chart_names).map(|name| path("report").join(name)));
    let stage = Stage { name: "report", config: &(), inputs: &inputs, outputs: &outputs };
    let outcome = ctx.dir.stage(&stage, || {
        let run = run?;
        record::save(&run, &outputs[0])?;
        let charts = reports::draw_all(&run, &path("report"))?;
        let charts: Vec<PathBuf> =
            charts.into_iter().filter(|chart| chart.extension().is_some_and(|e| e == "png")).collect();
        let verified = verified_stages(ctx, &run);
        let seconds =
            ctx.dir.seconds(|stage| !stage.starts_with("verify-") || verified.iter().any(|s| s == stage));
        Ok(record::save(&Summary::new(&run, seconds, charts), &outputs[1])?)
    })?;
    ctx.tell("report", outcome);
    Ok(())
}

/// The stages that verified the candidates: others are of subnets that are no candidates any more.
fn verified_stages(ctx: &Context, run: &RunRecord) -> Vec<String> {
    run.candidates.iter().map(|c| super::verify::stage_name(ctx, &Channels(c.channels.clone()))).collect()
}

/// The run of the records of the supernet, the retraining and the verification.
fn load(records: &[(&str, PathBuf); 3]) -> Result<RunRecord> {
    let supernet: TrainRecord = record::load(&records[0].1)?;
    let retrained: RetrainRecord = record::load(&records[1].1)?;
    let VerifyRecord { provenance, rounds, candidates } = record::load(&records[2].1)?;
    let mut trainings = vec![supernet.training];
    trainings.extend(retrained.trainings.into_iter().map(|t| t.training));
    Ok(RunRecord { provenance, trainings, candidates, rounds })
}
