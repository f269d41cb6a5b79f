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
            End::Affine { activation, .. } => {
                if activation.clamps().is_some() {
                    CLAMP
                } else {
                    AFFINE
                }
            }
            End::Residual { activation, .. } => {
                if activation.clamps().is_some() {
                    CLAMP_RESIDUAL
                } else {
                    RESIDUAL
                }
            }
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
            return Columns { scale: zero, shift: zero, low: zero, high: zero, activation: Activation::None };
        };
        let (low, high) = activation.clamps().unwrap_or_default();
        // SAFETY: the contract above.
        let (scale, shift) = unsafe { (S::load(scale.as_ptr().add(k)), S::load(shift.as_ptr().add(k))) };
        // SAFETY: vectors of one value.
        let (low, high) = unsafe { (S::splat(low), S::splat(high)) };
        Columns { scale, shift, low, high, activation }
    }
}

/// The coefficients of a vector of columns.
#[derive(Clone, Copy)]
pub struct Columns<S> {
    scale: S,
    shift: S,
    low: S,
    high: S,
    activation: Activation,
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
                CLAMP => self.high.min(self.low.max(sum.fma(self.scale, self.shift))),
                CLAMP_RESIDUAL => {
                    let sum = sum.fma(self.scale, self.shift).add(load::<S, FULL>(c, n));
                    self.high.min(self.low.max(sum))
                }
                AFFINE => activate(sum.fma(self.scale, self.shift), self.activation),
                _ => {
                    let sum = sum.fma(self.scale, self.shift).add(load::<S, FULL>(c, n));
                    activate(sum, self.activation)
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
/// [`End::Residual`] with an activation that clamps.
pub const CLAMP_RESIDUAL: usize = 3;
/// [`End::Affine`] with any other.
pub const AFFINE: usize = 4;
/// [`End::Residual`] with any other.
pub const RESIDUAL: usize = 5;

/// Compiles `$body` for each kind of end, so that no vector asks which one it is.
macro_rules! for_end {
    ($end:expr, |$KIND:ident| $body:expr) => {{
        use $crate::end::{ADD, AFFINE, CLAMP, CLAMP_RESIDUAL, REPLACE, RESIDUAL};
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
            CLAMP_RESIDUAL => {
                const $KIND: usize = CLAMP_RESIDUAL;
                $body
            }
            AFFINE => {
                const $KIND: usize = AFFINE;
                $body
            }
            _ => {
                const $KIND: usize = RESIDUAL;
                $body
            }
        }
    }};
}
pub(crate) use for_end;
