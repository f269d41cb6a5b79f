use super::*;
use std::collections::BTreeMap;
use std::convert::Infallible;

/// Registers that remember what was written; some bits follow others after a few reads, as a PLL's do.
#[derive(Default)]
struct Simulated {
    values: BTreeMap<u32, u32>,
    /// `(address, bits that request, bits that tell, reads until then)`
    follows: Vec<(u32, u32, u32, u32)>,
    writes: Vec<(u32, u32)>,
}

impl Registers for Simulated {
    type Error = Infallible;

    fn read(&mut self, address: u32) -> Result<u32, Infallible> {
        let mut value = self.values.get(&address).copied().unwrap_or(0);
        for (_, request, tell, left) in self.follows.iter_mut().filter(|f| f.0 == address) {
            if value & *request == *request {
                *left = left.saturating_sub(1);
                value |= if *left == 0 { *tell } else { 0 };
            }
        }
        Ok(value)
    }

    fn write(&mut self, address: u32, value: u32) -> Result<(), Infallible> {
        self.writes.push((address, value));
        self.values.insert(address, value);
        Ok(())
    }
}

fn script(toml: &str) -> Vec<Step> {
    #[derive(Deserialize)]
    struct File {
        setup: Vec<Step>,
    }
    toml::from_str::<File>(toml).unwrap().setup
}

const PLL: &str = r#"
[[setup]]
write = { address = 0x4002_2000, value = 0x705, what = "FLASH_ACR: 5 wait states" }
[[setup]]
modify = { address = 0x4002_1000, mask = 0x0100_0000, value = 0x0100_0000, what = "RCC_CR: PLLON" }
[[setup]]
wait = { address = 0x4002_1000, mask = 0x0200_0000, value = 0x0200_0000, timeout_ms = 1000, what = "PLLRDY" }
[[setup]]
modify = { address = 0x4002_1008, mask = 3, value = 3, what = "RCC_CFGR: SW = PLL" }
"#;

#[test]
fn steps_run_in_order_and_a_modify_keeps_the_other_bits() {
    let mut registers =
        Simulated { values: [(0x4002_1000, 0x63), (0x4002_1008, 0xf0)].into(), ..Default::default() };
    registers.follows.push((0x4002_1000, 0x0100_0000, 0x0200_0000, 5));
    run(&script(PLL), &mut registers).unwrap();
    let writes = [(0x4002_2000, 0x705), (0x4002_1000, 0x0100_0063), (0x4002_1008, 0xf3)];
    assert_eq!(registers.writes, writes);
    assert_eq!(registers.follows[0].3, 0, "the wait reads until the bit is there");
}

#[test]
fn a_wait_that_is_not_fulfilled_ends_the_script_and_is_named() {
    let mut registers = Simulated::default();
    let text = PLL.replace("timeout_ms = 1000", "timeout_ms = 5");
    let error = run(&script(&text), &mut registers).unwrap_err().to_string();
    assert!(error.contains("step 3, PLLRDY") && error.contains("0x40021000 is still 0x01000000"), "{error}");
    assert!(!registers.writes.iter().any(|write| write.0 == 0x4002_1008), "nothing runs after a failed wait");
}

#[test]
fn a_value_outside_its_mask_is_refused_before_anything_is_written() {
    let mut registers = Simulated::default();
    let text = PLL.replace("mask = 3, value = 3", "mask = 3, value = 7");
    let error = run(&script(&text), &mut registers).unwrap_err().to_string();
    assert!(error.contains("step 4") && registers.writes.is_empty(), "{error}");
}

#[test]
fn a_mistyped_step_is_refused_with_its_line() {
    for (from, to) in [("[[setup]]\nwrite", "[[setup]]\nwriet"), ("value = 0x705", "valu = 0x705")] {
        let text = PLL.replacen(from, to, 1);
        #[derive(Debug, Deserialize)]
        struct File {
            #[serde(rename = "setup")]
            _setup: Vec<Step>,
        }
        let error = toml::from_str::<File>(&text).unwrap_err().to_string();
        assert!(error.contains("line"), "{error}");
    }
}
