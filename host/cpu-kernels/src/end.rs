//! How a sum over channels or taps ends.

use crate::elementwise::activate;
use crate::simd::{Simd, load, store};
use crate::{Activation, Real};

/// What becomes of a sum.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// `c = sum`.
    Replace,
    /// `c += sum`.
    Add,
    /// `c = activation(sum · scale + shift)`, one scale and shift per column, padded to whole vectors.
    Affine {
        /// Per column.
        scale: &'a [Real],
        /// Per column.
        shift: &'a [Real],
        /// What follows.
        activation: Activation,
    },
    /// `c = activation(sum · scale + shift + c)`, as [`End::Affine`] for the last layer of a residual block.
    Residual {
        /// Per column.
        scale: &'a [Real],
        /// Per column.
        shift: &'a [Real],
        /// What follows.
        activation: Activation,
    },
}

impl End<'_> {
    /// # Panics
    /// If there are coefficients for less than `n` columns in vectors of `lanes`.
    pub(crate) fn check(&self, n: usize, lanes: usize) {
        if let End::Affine { scale, shift, .. } | End::Residual { scale, shift, .. } = self {
            let padded = n.next_multiple_of(lanes);
            assert!(scale.len() >= padded && shift.len() >= padded);
        }
    }

    /// The code that writes it: one of [`for_end!`]'s.
    pub(crate) fn kind(&self) -> usize {
        match self {
            End::Replace => REPLACE,
            End::Add => ADD,
            End::Affine { activation, .. } if activation.clamps().is_some() => CLAMP,
            _ => ANY,
        }
    }

    /// What the results of the vector of columns from `k` on share.
    ///
    /// # Safety
    /// Coefficients reach to the vector's end.
    #[inline(always)]
    pub(crate) unsafe fn of_columns<S: Simd>(self, k: usize) -> Columns<S> {
        let (End::Affine { scale, shift, activation } | End::Residual { scale, shift, activation }) = self
        else {
            // SAFETY: vectors of one value.
            let zero = unsafe { S::zero() };
            return Columns {
                scale: zero,
                shift: zero,
                clamps: [zero; 2],
                activation: Activation::None,
                is_residual: false,
            };
        };
        // SAFETY: the contract above, and vectors of one value.
        unsafe {
            let (scale, shift) = (S::load(scale.as_ptr().add(k)), S::load(shift.as_ptr().add(k)));
            let (low, high) = activation.clamps().unwrap_or_default();
            let is_residual = matches!(self, End::Residual { .. });
            Columns { scale, shift, clamps: [S::splat(low), S::splat(high)], activation, is_residual }
        }
    }
}

/// The coefficients of a vector of columns.
#[derive(Clone, Copy)]
pub struct Columns<S> {
    scale: S,
    shift: S,
    /// The lower and the upper end of an activation that has them.
    clamps: [S; 2],
    activation: Activation,
    is_residual: bool,
}

impl<S: Simd> Columns<S> {
    /// Ends one vector of sums, of which `n` columns are left, and writes it to `c`.
    ///
    /// # Safety
    /// `c` is valid for a vector, or `n` values where it is not `FULL`; `KIND` is [`End::kind`].
    #[inline(always)]
    pub unsafe fn write<const KIND: usize, const FULL: bool>(&self, sum: S, c: *mut Real, n: usize) {
        // SAFETY: the contract above.
        unsafe {
            let value = match KIND {
                REPLACE => sum,
                ADD => sum.add(load::<S, FULL>(c, n)),
                CLAMP => self.clamps[1].min(self.clamps[0].max(sum.fma(self.scale, self.shift))),
                _ => {
                    let scaled = sum.fma(self.scale, self.shift);
                    let scaled = if self.is_residual { scaled.add(load::<S, FULL>(c, n)) } else { scaled };
                    activate(scaled, self.activation)
                }
            };
            store::<S, FULL>(value, c, n);
        }
    }
}

/// [`End::Replace`].
pub const REPLACE: usize = 0;
/// [`End::Add`].
pub const ADD: usize = 1;
/// [`End::Affine`] with an activation that clamps.
pub const CLAMP: usize = 2;
/// Any other, asked for every vector.
pub const ANY: usize = 3;

/// Compiles `$body` for the kinds of end that are in every network, so that no vector asks which one it is.
macro_rules! for_end {
    ($end:expr, |$KIND:ident| $body:expr) => {{
        use $crate::end::{ADD, ANY, CLAMP, REPLACE};
        match $end.kind() {
            REPLACE => {
                const $KIND: usize = REPLACE;
                $body
            }
            ADD => {
                const $KIND: usize = ADD;
                $body
            }
            CLAMP => {
                const $KIND: usize = CLAMP;
                $body
            }
            _ => {
                const $KIND: usize = ANY;
                $body
            }
        }
    }};
}
pub(crate) use for_end;
