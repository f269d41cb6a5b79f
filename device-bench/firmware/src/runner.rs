//! Runs the model that the host has written into the model region.

use crate::arch::BoardClock;
use crate::memory;
use device_bench::infer;
use device_bench::kernels::KernelSet;
use device_bench::model::Model;
use device_bench::wire::{PAGE, RamUsed, Refusal, Response};

/// The loaded model, the arena that it runs in and the clock that times it.
pub struct Runner {
    pub arena: &'static mut [u8],
    pub model: Option<Model<'static>>,
    /// `None` if no counter counts the core's cycles.
    pub clock: Option<BoardClock>,
    /// Samples or layer times of the answer that is being sent.
    pub figures: &'static mut [u64; PAGE],
}

impl Runner {
    pub fn new(clock: Option<BoardClock>, figures: &'static mut [u64; PAGE]) -> Self {
        let arena = memory::take_arena();
        memory::paint(arena);
        Runner { arena, model: None, clock, figures }
    }

    /// Checks the first `len` bytes of the model region, which the host has just written, and paints the arena.
    pub fn load(&mut self, len: u32) -> Result<Response<'_>, Refusal> {
        self.model = None;
        let (_, available) = memory::model_region();
        let blob = memory::model_bytes(len).ok_or(Refusal::Memory { needed: len, available })?;
        let model = Model::parse(blob).map_err(Refusal::Model)?;
        let needed = model.arena_bytes() as u32;
        if needed as usize > self.arena.len() {
            return Err(Refusal::Memory { needed, available: self.arena.len() as u32 });
        }
        memory::paint(self.arena);
        self.model = Some(model);
        let layers = (0..model.n_layers()).filter_map(|layer_idx| model.layer(layer_idx));
        Ok(Response::Model {
            n_layers: model.n_layers() as u16,
            input_bytes: model.input().len,
            output_bytes: model.output().len,
            arena_bytes: needed,
            macs: layers.map(|(layer, _)| layer.spec().macs()).sum(),
        })
    }

    /// Writes part of the input.
    pub fn input(&mut self, offset: u32, bytes: &[u8]) -> Result<Response<'_>, Refusal> {
        let model = self.model.ok_or(Refusal::NoModel)?;
        let input = infer::input_mut(&model, self.arena).ok_or(Refusal::NoModel)?;
        let start = offset as usize;
        let part = input.get_mut(start..start.saturating_add(bytes.len())).ok_or(Refusal::Range)?;
        part.iter_mut().zip(bytes).for_each(|(to, &from)| *to = from as i8);
        Ok(Response::Done)
    }

    /// Runs the model on its input.
    pub fn run(&mut self) -> Result<Response<'_>, Refusal> {
        let model = self.model.ok_or(Refusal::NoModel)?;
        infer::run(&model, KernelSet::NATIVE, self.arena, &mut |_, _| {}).map_err(Refusal::Run)?;
        Ok(Response::Done)
    }

    /// A page of the output.
    pub fn logits(&mut self, offset: u32) -> Result<Response<'_>, Refusal> {
        let model = self.model.ok_or(Refusal::NoModel)?;
        let tensor = model.output();
        let output =
            self.arena.get(tensor.offset as usize..).and_then(|tail| tail.get(..tensor.len as usize));
        let rest = output.and_then(|bytes| bytes.get(offset as usize..)).ok_or(Refusal::Range)?;
        Ok(Response::Logits(&rest[..rest.len().min(PAGE)]))
    }

    /// What of the arena and the stack was written.
    pub fn ram_used(&self) -> Response<'_> {
        let (stack, stack_size) = memory::stack_used();
        Response::RamUsed(RamUsed {
            arena: memory::painted_over(self.arena),
            arena_size: memory::arena_bytes(),
            stack,
            stack_size,
        })
    }
}
