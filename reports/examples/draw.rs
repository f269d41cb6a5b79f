//! Draws a made-up run, to look at the figures: `cargo run -p reports --example draw -- DIR`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args_os().nth(1).ok_or("give the folder to draw into")?;
    for path in reports::draw_all(&reports::example::run(), &PathBuf::from(dir))? {
        println!("{}", path.display());
    }
    Ok(())
}
