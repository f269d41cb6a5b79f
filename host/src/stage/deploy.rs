//! `deploy`: one candidate's model onto the board.

use super::Context;
use super::retrain::model_path;
use super::search::SearchRecord;
use super::verify::checked_board;
use crate::quantize::Blob;
use crate::ui::put;
use anyhow::{Context as _, Result};

/// Writes the model of the candidate `name` into the board's model region; the firmware checks it there.
///
/// # Errors
/// Where there is no such candidate (near names are suggested), its model is missing or outdated, or the board
/// refuses it.
pub fn deploy(ctx: &Context, name: &str, json: bool) -> Result<()> {
    let found = SearchRecord::load(ctx, "deploy")?;
    let candidate = found.candidate(name)?;
    super::retrain::require(ctx, &found, "deploy")?;
    super::quantize::require(ctx, &found, "deploy")?;
    let path = model_path(ctx, &candidate.channels);
    let blob = Blob::copy_of(&std::fs::read(&path).with_context(|| path.display().to_string())?);
    let mut link = checked_board(ctx)?;
    link.load_model(blob.bytes())?;
    let (address, bytes) = (link.info().model_address, blob.bytes().len());
    if json {
        let board = &ctx.board.name;
        let told =
            serde_json::json!({ "board": board, "candidate": name, "address": address, "bytes": bytes });
        return put(format_args!("{told}\n"));
    }
    let (board, from) = (&ctx.board.name, path.display());
    put(format_args!("{board}: {name} is at {address:#010x}, {bytes} bytes, from {from}\n"))
}
