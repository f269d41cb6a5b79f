//! Copies runs of channels from pixel to pixel.

/// Copies `len` bytes of every `step` bytes of `source`, from byte `at` of it on, to every `target_step` bytes of `target`, from
/// byte `target_at` on, for as many pixels as both have.
#[inline(never)]
pub(super) fn copy_runs(
    (source, at, step): (&[i8], usize, usize),
    (target, target_at, target_step): (&mut [i8], usize, usize),
    len: usize,
) {
    let (mut from, mut to) = (at, target_at);
    while let (Some(source), Some(target)) = (source.get(from..), target.get_mut(to..)) {
        let (Some(source), Some(target)) = (source.get(..len), target.get_mut(..len)) else { return };
        let (fours, rest) = source.as_chunks::<4>();
        let (target_fours, target_rest) = target.as_chunks_mut::<4>();
        target_fours.iter_mut().zip(fours).for_each(|(to, from)| *to = *from);
        target_rest.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        (from, to) = (from + step, to + target_step);
    }
}
