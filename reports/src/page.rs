//! The HTML page: provenance, candidates and every figure, in one file without links to others.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::axes::si;
use crate::record::{Budget, CandidateRecord, Resource, RunRecord};

/// A drawn figure: its title and its PNG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// Heading on the page.
    pub title: String,
    /// Bytes of the PNG.
    pub png: Vec<u8>,
}

/// The page of a run.
pub fn html(run: &RunRecord, figures: &[Figure]) -> String {
    let p = &run.provenance;
    let title = escape(&format!("{} on {}", p.network, p.board));
    let mut page = format!(
        "<!doctype html>\n<!-- made by `edgeslim report`; do not edit -->\n<html lang=\"en\"><head>\
         <meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
    );
    if p.emulated {
        let unit = escape(&p.emulated_in_words());
        page += &format!(
            "<p class=\"note\">Emulated board: latencies are {unit}, not time on a real board.</p>\n"
        );
    }
    page += &candidates(run);
    for figure in figures {
        let (title, png) = (escape(&figure.title), STANDARD.encode(&figure.png));
        let _ = writeln!(page, "<h2>{title}</h2>\n<img alt=\"{title}\" src=\"data:image/png;base64,{png}\">");
    }
    page += &provenance(run);
    page + "</body></html>\n"
}

fn provenance(run: &RunRecord) -> String {
    let p = &run.provenance;
    let hz = |hz: u64| format!("{}Hz", si(hz as f64));
    let clock = match (p.core_hz, p.core_hz_spread) {
        (0, _) => "none".into(),
        (clock, 0) => hz(clock),
        (clock, spread) => format!("{} ± {}, measured", hz(clock), hz(spread)),
    };
    let rows = [
        ("board", p.board.clone()),
        ("core", p.core.clone()),
        ("chip", p.chip.clone()),
        ("memory", p.memory.clone()),
        ("target", p.target.clone()),
        ("core clock", clock),
        ("emulated", if p.emulated { "yes" } else { "no" }.into()),
        ("unit of latency", p.emulated_in_words()),
        ("kernel revision", p.kernel_revision.clone()),
        ("firmware", p.firmware.clone()),
        ("compiler", p.compiler.clone()),
        ("network", p.network.clone()),
        ("data set", p.dataset.clone()),
        ("test images", p.test_images.to_string()),
        ("seed", p.seed.to_string()),
        ("edgeslim", p.edgeslim.clone()),
    ];
    let row = |(name, value): (&str, String)| {
        let value = if value.is_empty() { "not recorded".into() } else { escape(&value) };
        format!("<tr><th>{name}</th><td>{value}</td></tr>\n")
    };
    format!("<h2>Provenance</h2>\n<table>{}</table>\n", rows.map(row).concat())
}

fn candidates(run: &RunRecord) -> String {
    let unit = &run.provenance.unit_in_words();
    let heads = [
        "candidate".into(),
        "strategy".into(),
        "budget".into(),
        "MACs".into(),
        format!("predicted ({unit})"),
        format!("measured ({unit})"),
        "RAM predicted (B)".into(),
        "RAM measured (B)".into(),
        "flash (B)".into(),
        "float, all".into(),
        "int8, all".into(),
        "int8 host".into(),
        "int8 board".into(),
        "equal images".into(),
    ];
    let heads: String = heads.iter().map(|h: &String| format!("<th>{}</th>", escape(h))).collect();
    let rows: String = run.candidates.iter().map(|c| candidate(c, unit)).collect();
    format!("<h2>Candidates</h2>\n<div class=\"wide\"><table><tr>{heads}</tr>\n{rows}</table></div>\n")
}

fn candidate(c: &CandidateRecord, unit: &str) -> String {
    let cells = [
        escape(&c.name),
        escape(&c.strategy),
        c.budget.map_or("–".into(), |b| escape(&budget(b, unit))),
        si(c.macs as f64),
        measured(c.latency_predicted.map(si)),
        measured(c.latency_measured.map(si)),
        c.ram_bytes_predicted.to_string(),
        measured(c.ram_bytes_measured.map(|b| b.to_string())),
        c.flash_bytes.to_string(),
        accuracy(c.accuracy_float_all),
        accuracy(c.accuracy_int8_all),
        accuracy(c.accuracy_int8_host),
        accuracy(c.accuracy_int8_board),
        if c.images_compared == 0 {
            "–".into()
        } else {
            format!("{}/{}", c.images_equal, c.images_compared)
        },
    ];
    format!("<tr>{}</tr>\n", cells.map(|cell| format!("<td>{cell}</td>")).concat())
}

fn budget(b: Budget, unit: &str) -> String {
    let (name, unit) = match b.resource {
        Resource::Latency => ("latency", unit),
        Resource::Ram => ("RAM", "B"),
        Resource::Flash => ("flash", "B"),
        Resource::Macs => ("MACs", ""),
    };
    format!("{name} ≤ {} {unit}", si(b.limit)).trim_end().into()
}

fn measured(value: Option<String>) -> String {
    value.unwrap_or_else(|| "–".into())
}

fn accuracy(value: Option<f64>) -> String {
    measured(value.map(|a| format!("{:.2} %", a * 100.0)))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:1100px;margin:2rem auto;\
padding:0 1rem}img{width:100%}table{border-collapse:collapse;font-size:14px}th,td{padding:.25rem .6rem;\
border-bottom:1px solid #ddd;text-align:left;white-space:nowrap;font-variant-numeric:tabular-nums}\
.wide{overflow-x:auto}.note{background:#fff4d6;padding:.5rem 1rem;border-left:4px solid #e69f00}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn the_page_refers_to_no_other_file_and_its_images_are_the_charts() {
        let dir = tempfile::tempdir().unwrap();
        let paths = crate::draw_all(&example::run(), dir.path()).unwrap();
        let (page, charts) = paths.split_last().unwrap();
        let page = std::fs::read_to_string(page).unwrap();
        assert!(!page.contains("http") && !page.contains("href") && !page.contains("url("));
        let sources: Vec<&str> =
            page.split("src=\"").skip(1).filter_map(|s| Some(s.split_once('"')?.0)).collect();
        assert_eq!(sources.len(), charts.len());
        for (source, chart) in sources.iter().zip(charts) {
            let png = STANDARD.decode(source.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
            assert_eq!(png, std::fs::read(chart).unwrap(), "{}", chart.display());
            assert!(image::load_from_memory_with_format(&png, image::ImageFormat::Png).is_ok());
        }
    }

    #[test]
    fn a_clock_is_told_with_whether_it_was_measured() {
        let mut run = example::run();
        let mut told = |clock| {
            (run.provenance.core_hz, run.provenance.core_hz_spread) = clock;
            html(&run, &[])
        };
        assert!(told((0, 0)).contains(">none<"));
        assert!(told((64_000_000, 0)).contains("64 MHz") && !told((64_000_000, 0)).contains("Hz, measured"));
        assert!(told((4_020_000, 9_000)).contains("4.02 MHz ± 9 kHz, measured"));
    }

    #[test]
    fn every_tag_of_the_page_closes() {
        let mut run = example::run();
        run.candidates[0].name = "a <b> & \"c\"".into();
        run.provenance.dataset = "</table>".into();
        let page = html(&run, &[Figure { title: "<i>".into(), png: vec![1, 2, 3] }]);
        let mut open = Vec::new();
        for tag in page.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').unwrap_or_else(|| panic!("<{tag}"));
            assert!(!text.contains('>') && tag.matches('"').count() % 2 == 0, "<{tag}>{text}");
            let name = tag.split_whitespace().next().unwrap();
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "<{tag}>"),
                None if name.starts_with('!') || ["meta", "img"].contains(&name) => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn names_are_escaped_and_what_was_not_measured_is_a_dash() {
        let mut run = example::run();
        run.candidates.truncate(1);
        run.candidates[0].name = "<b>".into();
        run.candidates[0].ram_bytes_measured = None;
        let page = html(&run, &[]);
        assert!(page.contains("<td>&lt;b&gt;</td>") && page.contains("<td>–</td>"));
    }

    #[test]
    fn an_emulated_board_is_said_to_be_one() {
        assert!(html(&example::run(), &[]).contains("not time on a real board"));
        assert!(!html(&RunRecord::default(), &[]).contains("not time on a real board"));
    }
}
