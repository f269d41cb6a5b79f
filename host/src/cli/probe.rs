//! The flags of the debug probe.

use clap::Args;
use clap::builder::FalseyValueParser;
use edgeslim::board::{DebugProbeSelector, ProbeOptions, WireProtocol};

/// The debug probe: names and variables of probe-rs's own tools.
#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// Which debug probe, where several are attached: `edgeslim doctor` lists them.
    #[arg(long, global = true, value_name = "VID:PID[:SERIAL]", env = "PROBE_RS_PROBE")]
    pub probe: Option<DebugProbeSelector>,
    /// Clock of the debug port at the most.
    #[arg(long, global = true, value_name = "KHZ", env = "PROBE_RS_SPEED")]
    pub speed: Option<u32>,
    /// Protocol of the debug port: swd or jtag.
    #[arg(long, global = true, value_name = "NAME", env = "PROBE_RS_PROTOCOL")]
    pub protocol: Option<WireProtocol>,
    /// Holds the chip in reset while attaching.
    #[arg(long, global = true, env = "PROBE_RS_CONNECT_UNDER_RESET", value_parser = FalseyValueParser::new())]
    pub connect_under_reset: bool,
}

impl From<&ProbeArgs> for ProbeOptions {
    fn from(args: &ProbeArgs) -> Self {
        ProbeOptions {
            probe: args.probe.clone(),
            speed_khz: args.speed,
            protocol: args.protocol,
            connect_under_reset: args.connect_under_reset,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn every_flag_has_the_variable_of_probe_rs() {
        let cli = Cli::command();
        for flag in ["probe", "speed", "protocol", "connect-under-reset"] {
            let argument = cli.get_arguments().find(|a| a.get_long() == Some(flag)).unwrap();
            let variable = format!("PROBE_RS_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(argument.get_env(), Some(variable.as_ref()), "{flag}");
        }
    }
}
