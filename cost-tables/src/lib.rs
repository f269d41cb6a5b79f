//! What a layer costs on a board, and how sure one can be of it.
//!
//! `edgeslim profile` writes a [`CostTable`]; the search asks its [`Prices`]. No device, no network, no training.
//!
//! ```
//! use std::path::Path;
//! use cost_tables::{CostTable, How, Prices};
//! use device_bench::LayerSpec;
//!
//! let text = r#"# edgeslim cost table; do not edit; written by `edgeslim profile`
//! ## board = "virtual-m4"
//! ## chip = "virtual-mps2-an386"
//! ## core = "Cortex-M4F"
//! ## target = "thumbv7em-none-eabihf"
//! ## core_hz = 0
//! ## emulated = true
//! ## unit = "instructions"
//! ## memory = "run from ram, no caches"
//! ## kernels = "dsp"
//! ## kernel_revision = 1
//! ## firmware = "1f3a"
//! ## compiler = "rustc 1.90.0"
//! ## seed = 7
//! ## edgeslim = "0.1.0"
//! op,in_h,in_w,c_in,c_out,kernel_h,kernel_w,stride,groups,pad_top,pad_bottom,pad_left,pad_right,quantity,cold,n_calls,samples
//! add,8,8,8,8,1,1,1,1,0,0,0,0,latency,5300,1,5120 5120 5120
//! add,8,8,24,24,1,1,1,1,0,0,0,0,latency,15500,1,15360 15360 15361
//! "#;
//! let table = CostTable::parse(text, Path::new("cost-table.csv"))?;
//! let prices = Prices::new(&table);
//! assert_eq!(prices.provenance().unit, "instructions");
//!
//! let measured = prices.price(&LayerSpec::add(8, 8, 8))?;
//! assert_eq!((measured.value, measured.how), (5120.0, How::Measured));
//!
//! let between = prices.price(&LayerSpec::add(8, 8, 16))?;
//! assert_eq!((between.value.round(), between.how), (10240.0, How::Interpolated));
//!
//! let error = prices.price(&LayerSpec::add(8, 8, 32)).unwrap_err();
//! assert!(error.to_string().contains("run `edgeslim profile`"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod file;
pub mod price;
pub mod table;

pub use price::{How, Price, PriceError, Prices, next_to_measure};
pub use table::{CostTable, Entry, Provenance, TableError};
