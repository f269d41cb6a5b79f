//! edgeslim: price every layer on the real board, train one supernet, choose the channels that buy most
//! accuracy for those prices, then prove it on the board.

pub mod board;
pub mod config;
pub mod dataset;
pub mod doctor;
pub mod engine;
pub mod experiment;
pub mod firmware;
pub mod memory;
pub mod nearest;
pub mod network;
pub mod profile;
pub mod quantize;
pub mod run;
pub mod search;
pub mod stage;
pub mod train;
pub mod ui;
pub mod verify;
