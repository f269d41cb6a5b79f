//! Regions that the linker script places: model, arena, stack.

use core::ptr::addr_of;

/// Four times the same byte.
const PAINT: u32 = 0xA5A5_A5A5;
/// Kept clear of paint below the stack pointer, for the painter's own frame.
const RED_ZONE: usize = 64;
/// At the end of the stack: it was used up if this is no longer paint.
const GUARD: usize = 32;

unsafe extern "C" {
    static _ram_start: u32;
    static _model_start: u32;
    static _model_end: u32;
    static __sheap: u32;
    static _stack_bottom: u32;
    static _stack_start: u32;
}

fn address(symbol: *const u32) -> usize {
    symbol as usize
}

/// Address and bytes of the region that the host writes a model into.
pub fn model_region() -> (u32, u32) {
    let (start, end) = (address(addr_of!(_model_start)), address(addr_of!(_model_end)));
    (start as u32, (end - start) as u32)
}

/// The first `len` bytes of the model region; `None` if it is shorter.
pub fn model_bytes(len: u32) -> Option<&'static [u8]> {
    let (start, available) = model_region();
    // SAFETY: the region is readable memory that no static lies in; the host writes it between requests only.
    (len <= available).then(|| unsafe { core::slice::from_raw_parts(start as *const u8, len as usize) })
}

/// The arena: all memory between the statics and the stack. Call it once.
pub fn take_arena() -> &'static mut [u8] {
    let start = address(addr_of!(__sheap)) as *mut u8;
    // SAFETY: the linker leaves this range to us, and the one caller is the start of `main`.
    unsafe { core::slice::from_raw_parts_mut(start, arena_bytes() as usize) }
}

/// Bytes between the statics and the stack.
pub fn arena_bytes() -> u32 {
    let (start, end) = (address(addr_of!(__sheap)), address(addr_of!(_stack_bottom)));
    end.saturating_sub(start) as u32
}

/// Bytes of RAM before the arena: the statics.
pub fn static_bytes() -> u32 {
    (address(addr_of!(__sheap)) - address(addr_of!(_ram_start))) as u32
}

/// Fills memory with the paint.
pub fn paint(memory: &mut [u8]) {
    memory.fill(PAINT as u8);
}

/// Bytes up to the last one that is no longer paint.
pub fn painted_over(memory: &[u8]) -> u32 {
    memory.iter().rposition(|&byte| byte != PAINT as u8).map_or(0, |last| last as u32 + 1)
}

/// Figures as the wire wants them: every core that this runs on is little-endian.
pub fn as_bytes(figures: &[u64]) -> &[u8] {
    // SAFETY: any eight bytes of a figure are bytes.
    unsafe { core::slice::from_raw_parts(figures.as_ptr().cast(), size_of_val(figures)) }
}

fn stack() -> (usize, usize) {
    (address(addr_of!(_stack_bottom)), address(addr_of!(_stack_start)))
}

/// Fills the unused stack with a pattern.
#[inline(never)]
pub fn paint_stack() {
    let here = 0u32;
    let end = (addr_of!(here) as usize).saturating_sub(RED_ZONE);
    for word in (stack().0..end).step_by(4) {
        // SAFETY: the linker reserves this range for the stack, and it lies below every live frame.
        unsafe { (word as *mut u32).write_volatile(PAINT) };
    }
}

/// The deepest stack since it was painted, and its size; bytes.
pub fn stack_used() -> (u32, u32) {
    let (bottom, top) = stack();
    // SAFETY: the range is the stack, which is readable memory.
    let untouched = |word: &usize| unsafe { (*word as *const u32).read_volatile() } == PAINT;
    let free = (bottom..top).step_by(4).take_while(untouched).count() * 4;
    ((top - bottom - free) as u32, (top - bottom) as u32)
}

/// Whether the stack was used up since it was painted.
pub fn stack_overflowed() -> bool {
    let bottom = stack().0;
    // SAFETY: the range is the end of the stack, which is readable memory.
    let painted = |word: usize| unsafe { (word as *const u32).read_volatile() } == PAINT;
    !(bottom..bottom + GUARD).step_by(4).all(painted)
}

/// Calls itself until the stack is used up.
#[inline(never)]
pub fn overflow_stack() {
    let frame = core::hint::black_box([0u32; 16]);
    if frame.as_ptr() as usize > stack().0 {
        overflow_stack();
    }
    core::hint::black_box(&frame);
}
