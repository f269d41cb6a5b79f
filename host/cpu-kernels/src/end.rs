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

    /// Ends one vector of sums, of which `n` columns are left from column `k` on, and writes it to `c`.
    ///
    /// # Safety
    /// `c` is valid for a vector, or `n` values where it is not `FULL`; coefficients reach to the vector's end.
    #[inline(always)]
    pub(crate) unsafe fn write<S: Simd, const FULL: bool>(self, sum: S, c: *mut Real, k: usize, n: usize) {
        // SAFETY: the contract above.
        unsafe {
            let value = match self {
                End::Replace => sum,
                End::Add => sum.add(load::<S, FULL>(c, n)),
                End::Affine { scale, shift, activation } => activate(
                    sum.fma(S::load(scale.as_ptr().add(k)), S::load(shift.as_ptr().add(k))),
                    activation,
                ),
                End::Residual { scale, shift, activation } => {
                    let sum = sum.fma(S::load(scale.as_ptr().add(k)), S::load(shift.as_ptr().add(k)));
                    activate(sum.add(load::<S, FULL>(c, n)), activation)
                }
            };
            store::<S, FULL>(value, c, n);
        }
    }
}
