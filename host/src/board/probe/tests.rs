use super::*;
use crate::board::load;
use probe_rs::probe::{DebugProbe, ProbeFactory};
use std::fmt;

/// Lists nothing and opens nothing: probes are made up here.
#[derive(Debug)]
struct Factory;

impl fmt::Display for Factory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ST-LINK")
    }
}

impl ProbeFactory for Factory {
    fn open(&self, _: &DebugProbeSelector) -> Result<Box<dyn DebugProbe>, DebugProbeError> {
        Err(DebugProbeError::TargetNotFound)
    }

    fn list_probes(&self) -> Vec<ProbeListItem> {
        Vec::new()
    }
}

fn item(vendor_id: u16, serial: Option<&str>) -> ProbeListItem {
    let info =
        DebugProbeInfo::new("STLink V3", vendor_id, 0x374e, serial.map(Into::into), &Factory, None, false);
    ProbeListItem::accessible(info)
}

fn named(selector: &str) -> ProbeOptions {
    ProbeOptions { probe: Some(selector.parse().unwrap()), ..ProbeOptions::default() }
}

/// As [`open`] does it.
fn chosen(options: &ProbeOptions, attached: &[ProbeListItem]) -> Result<String, String> {
    let fits = |item: &&ProbeListItem| options.probe.as_ref().is_none_or(|s| s.matches_probe(&item.info));
    let candidates: Vec<ProbeListItem> = attached.iter().filter(fits).cloned().collect();
    choose("desk", options, &candidates, attached).map(|s| s.to_string()).map_err(|e| e.to_string())
}

#[test]
fn the_only_probe_is_taken_and_emulators_do_not_count() {
    let attached = [item(virtual_board::VENDOR_ID, Some("mps2-an386")), item(0x0483, Some("A1"))];
    assert_eq!(chosen(&ProbeOptions::default(), &attached), Ok("0483:374e:A1".into()));
    let error = chosen(&ProbeOptions::default(), &attached[..1]).unwrap_err();
    assert!(error.contains("no debug probe found") && error.contains("cable"), "{error}");
}

#[test]
fn of_several_probes_each_is_told_with_what_chooses_it() {
    let attached = [item(0x0483, Some("A1")), item(0x0483, None), item(0x1366, Some("5"))];
    let error = chosen(&ProbeOptions::default(), &attached).unwrap_err();
    assert!(error.contains("3 debug probes fit; choose one:"), "{error}");
    for (line, item) in error.lines().skip(1).zip(&attached) {
        let argument = line.trim().strip_prefix("--probe ").unwrap().split(' ').next().unwrap();
        let selector = DebugProbeSelector::from(&item.info).to_string();
        // Typed, it chooses this one alone.
        let choice = chosen(&named(argument), &attached);
        assert_eq!(choice, Ok(selector), "{argument}");
    }
    assert_eq!(error.lines().count(), 4, "{error}");
}

#[test]
fn a_probe_that_is_named_is_taken_of_several_or_told_to_be_missing() {
    let attached = [item(0x0483, Some("A1")), item(0x0483, Some("B2"))];
    assert_eq!(chosen(&named("0483:374e:B2"), &attached), Ok("0483:374e:B2".into()));
    let error = chosen(&named("0483:374e"), &attached).unwrap_err();
    assert!(error.contains("--probe 0483:374e:A1") && error.contains("--probe 0483:374e:B2"), "{error}");
    let error = chosen(&named("0483:374e:C3"), &attached).unwrap_err();
    assert!(error.contains("no debug probe 0483:374e:C3 found; connect it"), "{error}");
    assert!(error.contains("--probe 0483:374e:B2  (STLink V3, ST-LINK)"), "{error}");
    let error = chosen(&named("0483:374e:C3"), &[]).unwrap_err();
    assert!(error.contains("nor any other"), "{error}");
}

#[test]
fn probes_that_cannot_be_told_apart_are_not_offered_for_choice() {
    let error = chosen(&ProbeOptions::default(), &[item(0x0483, None), item(0x0483, None)]).unwrap_err();
    assert!(error.contains("unplug all but one"), "{error}");
}

#[test]
fn a_probe_that_may_not_be_opened_is_told_with_the_rule_to_install() {
    let mut denied = item(0x0483, Some("A1"));
    denied.accessibility = Accessibility::PermissionDenied;
    let error = chosen(&ProbeOptions::default(), &[denied]).unwrap_err();
    assert!(error.contains("no permission") && error.contains("0483:374e:A1"), "{error}");
    if cfg!(target_os = "linux") {
        assert!(error.contains("/etc/udev/rules.d/69-probe-rs.rules"), "{error}");
        assert!(error.contains("udevadm control --reload") && error.contains("udevadm trigger"), "{error}");
    }
}

#[test]
fn a_board_file_and_its_probe_agree_on_being_emulated() {
    let (desk, emulated) = (load("nucleo-f446re").unwrap(), load("virtual-m4").unwrap());
    let choice = |board, selector: &str| virtual_probe(board, &named(selector)).map_err(|e| e.to_string());
    let own = virtual_board::selector("mps2-an386");
    assert_eq!(virtual_probe(&emulated, &ProbeOptions::default()).unwrap(), Some(own.clone()));
    assert_eq!(choice(&emulated, "f055:0000:mps2-an386"), Ok(Some(own)));
    assert_eq!(choice(&desk, "0483:374e"), Ok(None), "it is looked for on USB");
    for other in ["f055:0000:mps2-an385", "0483:374e:A1"] {
        let error = choice(&emulated, other).unwrap_err();
        assert!(error.contains("f055:0000:mps2-an386") && error.contains(other), "{error}");
    }
    let error = choice(&desk, "f055:0000:mps2-an386").unwrap_err();
    for line in ["probe = \"virtual\"", "machine = \"mps2-an386\"", "unit = \"instructions\""] {
        assert!(error.contains(line), "{line}: {error}");
    }
}

#[test]
fn a_failure_of_the_probe_is_told_once_with_what_to_do() {
    let told = |step, error: DebugProbeError| failed("desk", step)(error.into()).to_string();
    let busy = || std::io::Error::from_raw_os_error(16);
    let error = told("opening the probe", DebugProbeError::Usb(busy()));
    assert_eq!(error.matches(&busy().to_string()).count(), 1, "{error}");
    assert!(error.ends_with("; close other programs that use the probe, or plug it in again"), "{error}");
    let error = told(ATTACHING, DebugProbeError::TargetNotFound);
    assert!(error.contains("--connect-under-reset") && !error.contains(".;"), "{error}");
    let error = told("--protocol", DebugProbeError::UnsupportedProtocol(WireProtocol::Jtag));
    assert_eq!(error, "desk: --protocol: The probe does not support the JTAG protocol");
}
