//! I-Net against S-Net at four widths (S-Net, arXiv 1812.08928, table 1).

use super::lab::{Lab, Measured};
use super::{ACCURACY, MACS, Outcome, SMALLEST, gains, line, ratios};
use crate::train::sandwich::GRADIENT_SCALE;
use crate::train::{Switches, System};
use anyhow::Result;
use reports::experiment::{Panel, Scale};

/// A network and what the paper says of its S-Net.
struct Claim {
    network: &'static str,
    /// Whether its accuracies are better than those of I-Nets, on average over the switches.
    is_better: Better,
    source: &'static str,
}

enum Better {
    SNet,
    INet,
}

const CLAIMS: [Claim; 4] = [
    Claim {
        network: "mobilenet-v1",
        is_better: Better::SNet,
        source: "S-Net, 1812.08928: errors 29.1/31.6/36.7/50.2 % alone, 28.5/30.5/35.2/46.9 % as switches",
    },
    Claim {
        network: "mobilenet-v2",
        is_better: Better::INet,
        source: "S-Net, 1812.08928: errors 28.2/30.2/34.6/39.7 % alone, 29.5/31.1/35.6/40.3 % as switches",
    },
    Claim {
        network: "shufflenet-v1",
        is_better: Better::INet,
        source: "S-Net, 1812.08928: errors 26.3/32.6/43.2 % alone, 28.6/34.5/42.8 % as switches",
    },
    Claim {
        network: "resnet-50",
        is_better: Better::SNet,
        source: "S-Net, 1812.08928: errors 23.9/25.3/28.0/35.8 % alone, 24.0/25.1/27.9/35.0 % as switches",
    },
];

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let (mut panels, mut findings) = (Vec::new(), Vec::new());
    for Claim { network, is_better, source } in CLAIMS {
        let graph = lab.network(network, [SMALLEST, 1.0])?;
        let widths = ratios(&graph, &Switches::RATIOS);
        let alone = lab.measure_alone(&format!("{network} i-net"), &graph, &widths)?;
        let switches = Switches { gradient_scale: GRADIENT_SCALE, ..Switches::of(widths.clone()) };
        let shared = lab.measure(&format!("{network} s-net"), &graph, &System::SNet(switches), &widths)?;
        let series =
            vec![line("I-Net", &alone, Measured::by_macs), line("S-Net", &shared, Measured::by_macs)];
        let (title, x, y) = (network.into(), MACS.into(), ACCURACY.into());
        panels.push(Panel { title, x, x_scale: Scale::Log, y, series });
        findings.push(match is_better {
            Better::SNet => {
                let claim = format!("{network}: the switches of an S-Net are better than networks alone");
                let quantity = "mean accuracy over four widths, S-Net less I-Net, points";
                gains(&claim, source, quantity, &shared, &alone)
            }
            Better::INet => {
                let claim = format!("{network}: networks alone are better than the switches of an S-Net");
                let quantity = "mean accuracy over four widths, I-Net less S-Net, points";
                gains(&claim, source, quantity, &alone, &shared)
            }
        });
    }
    Ok(Outcome {
        title: "Four networks alone, and in one slimmable network".into(),
        board: None,
        images: None,
        panels,
        findings,
    })
}
