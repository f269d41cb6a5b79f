//! Where a network runs.

use candle_core::{DType, Device, Error, Result};
use serde::{Deserialize, Serialize};

/// Where to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// A GPU if this build and machine have one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first NVIDIA GPU.
    Cuda,
    /// The same with activations and products in bf16: faster, with 8 bits of mantissa. Weights, batch norm and gradient
    /// sums stay in f32.
    CudaBf16,
}

/// A device, and why it is not the one that was hoped for.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Where parameters are to be created.
    pub device: Device,
    /// What activations and products are computed in.
    pub compute: DType,
    /// Why [`DeviceChoice::Auto`] took the CPU though this build can use GPUs.
    pub fallback: Option<String>,
}

impl DeviceChoice {
    /// The device this choice means here.
    ///
    /// # Errors
    /// If CUDA is asked for and this build or machine has none.
    pub fn choose(self) -> Result<Chosen> {
        let chosen = |device, fallback| Ok(Chosen { device, compute: DType::F32, fallback });
        match self {
            DeviceChoice::CudaBf16 => Ok(Chosen { device: cuda()?, compute: DType::BF16, fallback: None }),
            DeviceChoice::Cpu => chosen(Device::Cpu, None),
            DeviceChoice::Cuda => chosen(cuda()?, None),
            DeviceChoice::Auto if !cfg!(feature = "cuda") => chosen(Device::Cpu, None),
            DeviceChoice::Auto => match cuda() {
                Ok(device) => chosen(device, None),
                Err(error) => chosen(Device::Cpu, Some(error.to_string())),
            },
        }
    }

    /// The device of [`DeviceChoice::choose`].
    ///
    /// # Errors
    /// Those of [`DeviceChoice::choose`].
    pub fn device(self) -> Result<Device> {
        Ok(self.choose()?.device)
    }
}

/// The first GPU.
fn cuda() -> Result<Device> {
    if !cfg!(feature = "cuda") {
        let advice = "build edgeslim with `--features cuda` (it needs the CUDA toolkit), or choose the CPU";
        return Err(Error::msg(format!("this build cannot use GPUs; {advice}")));
    }
    // The binding to the driver panics where a library of it is missing.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let opened = std::panic::catch_unwind(|| Device::new_cuda(0));
    std::panic::set_hook(hook);
    let reason = match opened {
        Ok(Ok(device)) => return Ok(device),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic_message(&*panic),
    };
    let advice = "check the driver with `nvidia-smi`, or choose the CPU";
    Err(Error::msg(format!("no GPU can be used: {reason}; {advice}")))
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the driver's library failed").to_owned()
}

/// Says what to do about an error of `device` in the middle of a training.
pub(super) fn explain(error: Error, device: &Device) -> Error {
    if device.is_cpu() {
        return error;
    }
    let advice = "training stopped; where memory ran out, take a smaller batch, otherwise check `nvidia-smi`; the \
                  run goes on from its last checkpoint";
    error.context(format!("the GPU failed: {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_with_advice_and_auto_takes_the_cpu() {
        if let Err(error) = DeviceChoice::Cuda.choose() {
            assert!(error.to_string().contains("choose the CPU"), "{error}");
            let half = DeviceChoice::CudaBf16.choose().unwrap_err();
            assert!(half.to_string().contains("choose the CPU"), "{half}");
            let chosen = DeviceChoice::Auto.choose().unwrap();
            assert!(chosen.device.is_cpu() && chosen.fallback.is_some() == cfg!(feature = "cuda"));
        }
        assert!(DeviceChoice::Cpu.device().unwrap().is_cpu());
    }
}
