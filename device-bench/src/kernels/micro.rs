//! The inner loops that a kernel set is made of, and their plain Rust form.

/// Strides of a window's taps, for [`Micro::window4`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Taps {
    /// Rows of taps.
    pub rows: usize,
    /// Taps in a row.
    pub columns: usize,
    /// From tap to tap in a row, in the input and the weights alike: the channels.
    pub step: usize,
    /// From row to row in the input.
    pub input_row: usize,
    /// From row to row in the weights.
    pub weight_row: usize,
}

impl Taps {
    /// Elements that are spanned with this distance between rows, four channels wide.
    pub(super) fn reach(&self, row: usize) -> usize {
        self.rows.saturating_sub(1) * row + self.columns.saturating_sub(1) * self.step + 4
    }
}

/// Inner loops. All sums wrap.
pub(super) trait Micro {
    /// A patch that is widened in pieces must be cut at multiples of this.
    const GROUP: usize;

    /// Widens a patch for [`Micro::dot`], in whatever order that wants it; both have one length.
    fn widen(input: &[i8], patch: &mut [i16]);

    /// Products of `P` widened patches with `C` rows of weights; all have one length.
    fn dot<const P: usize, const C: usize>(patches: [&[i16]; P], weights: [&[i8]; C]) -> [[i32; C]; P];

    /// Products of one input with `C` rows of weights; all have one length.
    fn dot_narrow<const C: usize>(input: &[i8], weights: [&[i8]; C]) -> [i32; C];

    /// Four neighbouring channels of a depthwise window.
    fn window4(input: &[i8], weights: &[i8], taps: Taps) -> [i32; 4];
}

/// Plain Rust.
pub(super) struct Portable;

impl Micro for Portable {
    const GROUP: usize = 1;

    fn widen(input: &[i8], patch: &mut [i16]) {
        for (wide, narrow) in patch.iter_mut().zip(input) {
            *wide = i16::from(*narrow);
        }
    }

    #[inline(always)]
    fn dot<const P: usize, const C: usize>(patches: [&[i16]; P], weights: [&[i8]; C]) -> [[i32; C]; P] {
        patches.map(|patch| {
            weights.map(|row| {
                let products = patch.iter().zip(row).map(|(&x, &w)| i32::from(x) * i32::from(w));
                products.fold(0i32, i32::wrapping_add)
            })
        })
    }

    #[inline(always)]
    fn dot_narrow<const C: usize>(input: &[i8], weights: [&[i8]; C]) -> [i32; C] {
        weights.map(|row| {
            let products = input.iter().zip(row).map(|(&x, &w)| i32::from(x) * i32::from(w));
            products.fold(0i32, i32::wrapping_add)
        })
    }

    #[inline(always)]
    fn window4(input: &[i8], weights: &[i8], taps: Taps) -> [i32; 4] {
        let mut acc = [0i32; 4];
        for row in 0..taps.rows {
            for column in 0..taps.columns {
                let x = &input[row * taps.input_row + column * taps.step..][..4];
                let w = &weights[row * taps.weight_row + column * taps.step..][..4];
                for (sum, (&x, &w)) in acc.iter_mut().zip(x.iter().zip(w)) {
                    *sum = sum.wrapping_add(i32::from(x) * i32::from(w));
                }
            }
        }
        acc
    }
}
