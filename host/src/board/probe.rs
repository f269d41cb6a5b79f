//! Which debug probe a board is opened with.

use super::counts::Counts;
use super::link::failed;
use super::{BoardError, BoardFile, ProbeKind};
use probe_rs::probe::list::{Accessibility, Lister, ProbeListItem};
use probe_rs::probe::{
    DebugProbeError, DebugProbeInfo, DebugProbeSelector, Probe, ProbeCreationError, WireProtocol,
};
use std::error::Error;

/// How the debug probe is chosen and driven; no part of what a figure depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProbeOptions {
    /// The probe; if none is named, a virtual board's QEMU or the only probe that is attached.
    pub probe: Option<DebugProbeSelector>,
    /// The debug port's clock at the most, kHz; else the probe's own.
    pub speed_khz: Option<u32>,
    /// The debug port's protocol; else the probe's own.
    pub protocol: Option<WireProtocol>,
    /// Holds the chip in reset while attaching: for firmware that takes the debug pins for itself. A virtual board
    /// always starts at its reset.
    pub connect_under_reset: bool,
}

/// A debug probe that is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedProbe {
    /// What it calls itself.
    pub name: String,
    /// The `--probe` that chooses it.
    pub argument: String,
    /// Whether this user may open it.
    pub permitted: bool,
}

impl std::fmt::Display for AttachedProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--probe {}  ({})", self.argument, self.name)
    }
}

/// The debug probes that are attached; virtual ones are none.
pub fn attached_probes() -> Vec<AttachedProbe> {
    described(&Lister::new().list_all_with_access())
}

/// What `--probe` would name for the probe that this board is opened with.
///
/// # Errors
/// [`BoardError`]: there is none, there are several, or it may not be opened.
pub fn probe_of(board: &BoardFile, options: &ProbeOptions) -> Result<DebugProbeSelector, BoardError> {
    virtual_board::register();
    if let Some(selector) = virtual_probe(board, options)? {
        return Ok(selector);
    }
    let lister = Lister::new();
    let attached = lister.list_all_with_access();
    // probe-rs knows probes that are on no list, such as a Black Magic Probe in the network.
    let named = options.probe.as_ref().map(|selector| lister.list_with_access(Some(selector)));
    choose(&board.name, options, named.as_ref().unwrap_or(&attached), &attached)
}

/// The step between opening the probe and the first access to the chip.
pub(super) const ATTACHING: &str = "attaching to the chip";

/// What to do about a failure of the probe, where that is known.
pub(super) fn advice(step: &str, source: &(dyn Error + 'static)) -> &'static str {
    match source.downcast_ref() {
        Some(
            DebugProbeError::Usb(_)
            | DebugProbeError::ProbeCouldNotBeCreated(
                ProbeCreationError::CouldNotOpen | ProbeCreationError::Usb(_),
            ),
        ) => "; close other programs that use the probe, or plug it in again",
        _ if step == ATTACHING => {
            "; check cable, wiring and supply, and try --connect-under-reset or a lower --speed"
        }
        _ => "",
    }
}

/// Opens the probe for a board, ready to attach; with `counts`, a virtual one that counts.
pub(super) fn open(
    board: &BoardFile,
    options: &ProbeOptions,
    counts: Option<&Counts>,
) -> Result<Probe, BoardError> {
    let failed = |step| failed(&board.name, step);
    let selector = probe_of(board, options)?;
    let selector =
        counts.map_or(selector, |counts| counts.selector(board.machine.as_deref().unwrap_or_default()));
    let opened = Lister::new().open(selector);
    let mut probe = opened.map_err(|e| failed("opening the probe")(e.into()))?;
    if let Some(protocol) = options.protocol {
        probe.select_protocol(protocol).map_err(|e| failed("--protocol")(e.into()))?;
    }
    if let Some(speed_khz) = options.speed_khz {
        probe.set_speed(speed_khz).map_err(|e| failed("--speed")(e.into()))?;
    }
    Ok(probe)
}

/// The probe of a virtual board. A board file and its probe must agree on being virtual, as the file's word is what
/// tables and reports tell emulated figures by.
fn virtual_probe(
    board: &BoardFile,
    options: &ProbeOptions,
) -> Result<Option<DebugProbeSelector>, BoardError> {
    let named = options.probe.as_ref();
    let (name, is_virtual) =
        (|| board.name.clone(), |s: &DebugProbeSelector| s.vendor_id == virtual_board::VENDOR_ID);
    match (board.probe, named) {
        (ProbeKind::Virtual, named) => {
            let own = virtual_board::selector(board.machine.as_deref().unwrap_or_default());
            match named.filter(|&named| *named != own) {
                None => Ok(Some(own)),
                Some(named) => Err(BoardError::OtherProbe {
                    board: name(),
                    own: own.to_string(),
                    named: named.to_string(),
                }),
            }
        }
        (ProbeKind::Usb, Some(named)) if is_virtual(named) => Err(BoardError::VirtualProbe {
            board: name(),
            named: named.to_string(),
            machine: named.serial_number.clone().unwrap_or_default(),
        }),
        (ProbeKind::Usb, _) => Ok(None),
    }
}

/// The probe for a board on USB: the one of `candidates`, which are those that `--probe` names or else all.
fn choose(
    board: &str,
    options: &ProbeOptions,
    candidates: &[ProbeListItem],
    attached: &[ProbeListItem],
) -> Result<DebugProbeSelector, BoardError> {
    let board = board.to_owned();
    let candidates: Vec<ProbeListItem> =
        candidates.iter().filter(|item| !is_virtual(item)).cloned().collect();
    match candidates.as_slice() {
        [] => {
            let wanted = options.probe.as_ref().map(ToString::to_string);
            Err(BoardError::NoProbe { board, wanted, attached: described(attached) })
        }
        [ProbeListItem { info, accessibility: Accessibility::Accessible }] => Ok(info.into()),
        [one] => Err(BoardError::Denied { board, probe: one.info.to_string() }),
        several => Err(BoardError::SeveralProbes { board, probes: described(several) }),
    }
}

fn is_virtual(item: &ProbeListItem) -> bool {
    item.info.vendor_id == virtual_board::VENDOR_ID
}

fn described(items: &[ProbeListItem]) -> Vec<AttachedProbe> {
    let real: Vec<&ProbeListItem> = items.iter().filter(|item| !is_virtual(item)).collect();
    let describe = |item: &&ProbeListItem| AttachedProbe {
        name: format!("{}, {}", item.info.identifier, item.info.probe_type()),
        argument: argument(&item.info, &real),
        permitted: item.accessibility == Accessibility::Accessible,
    };
    real.iter().map(describe).collect()
}

/// What chooses `info` and no other of `items`, as far as its numbers allow.
fn argument(info: &DebugProbeInfo, items: &[&ProbeListItem]) -> String {
    let selector = DebugProbeSelector::from(info);
    let others = items.iter().any(|item| item.info != *info && selector.matches_probe(&item.info));
    // An empty serial number chooses probes without one.
    format!("{selector}{}", if others && selector.serial_number.is_none() { ":" } else { "" })
}

#[cfg(test)]
mod tests;
