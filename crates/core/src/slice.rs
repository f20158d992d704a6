//! How a request is cut into tasks.

use std::ops::Range;

use crate::model::ModelLimits;

/// A task of a big request is not cut finer than this part of a batch, so that a model that pays
/// for each call is not called more often than spreading over its instances is worth.
const FINEST: u64 = 8;

/// The slices of a request of `inputs` inputs: none longer than a batch; a request that fits one
/// batch is still spread over the model's instances when each gets a fair piece.
pub fn slices(inputs: u64, limits: &ModelLimits) -> impl Iterator<Item = Range<u64>> + use<> {
    let batch = u64::from(limits.batch_size.max(1));
    let by_batch = inputs.div_ceil(batch);
    let by_spread = u64::from(limits.max_instances).min(inputs / batch.div_ceil(FINEST).max(1));
    let count = by_batch.max(by_spread).max(1);
    (0..count).map(move |n| inputs * n / count..inputs * (n + 1) / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slices_cover_all_inputs_once_and_fit_a_batch(
            inputs in 1u64..300_000, batch_size in 1u32..5_000, max_instances in 1u32..50,
        ) {
            let limits = ModelLimits { batch_size, max_instances, ..ModelLimits::default() };
            let mut next = 0;
            for slice in slices(inputs, &limits) {
                prop_assert_eq!(slice.start, next);
                prop_assert!(slice.end > slice.start);
                prop_assert!(slice.end - slice.start <= u64::from(batch_size));
                next = slice.end;
            }
            prop_assert_eq!(next, inputs);
        }
    }

    #[test]
    fn a_request_of_one_batch_is_spread_over_two_instances() {
        let limits = ModelLimits { batch_size: 1000, max_instances: 2, ..ModelLimits::default() };
        assert_eq!(slices(1000, &limits).collect::<Vec<_>>(), [0..500, 500..1000]);
        assert_eq!(slices(1, &limits).count(), 1);
    }
}
