//! Sharing out the sequence numbers that one commit made durable for many requests (TS 33.102 Annex C.1.1).

use std::collections::BTreeMap;

use mcx_aka::{IndexValue, Sequence, Sqn};
use mcx_types::Impi;

/// SEQ values of one subscriber that belong to one request and to nobody else: `first` and the `count - 1` after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SequenceBlock {
    first: u64,
    count: u64,
}

impl SequenceBlock {
    /// The block that ends with `last`, or `None` where a counter that began at 0 cannot have issued it.
    pub(crate) fn ending_at(last: Sequence, count: u64) -> Option<Self> {
        let first = (last.get() + 1).checked_sub(count)?;
        (first > 0).then_some(Self { first, count })
    }

    /// Cuts a block of `count` off the front.
    fn split_front(&mut self, count: u64) -> Option<Self> {
        self.count = self.count.checked_sub(count)?;
        let front = Self { first: self.first, count };
        self.first += count;
        Some(front)
    }

    /// The sequence numbers of the block under this IND, in ascending order.
    pub(crate) fn sequence_numbers(self, index: IndexValue) -> impl Iterator<Item = Sqn> {
        (self.first..self.first + self.count).map(move |value| {
            let sequence = Sequence::new(value).expect("a block ends below the last sequence");
            Sqn::new(sequence, index)
        })
    }

    /// The first SEQ.
    pub(crate) fn first(self) -> u64 {
        self.first
    }
}

/// How many SEQ values each subscriber needs for a batch of requests: requests for the same subscriber add up, so that
/// every counter moves once. In the order of the identities, in which all replicas lock.
pub(crate) fn wanted_in_total<'a>(
    requests: impl IntoIterator<Item = (&'a Impi, u64)>,
) -> BTreeMap<&'a Impi, u64> {
    let mut totals = BTreeMap::new();
    for (impi, count) in requests {
        *totals.entry(impi).or_insert(0) += count;
    }
    totals
}

/// Shares out the blocks of a batch to its requests, in their order.
#[derive(Debug, Default)]
pub(crate) struct SharingOut {
    remaining: BTreeMap<Impi, SequenceBlock>,
}

impl SharingOut {
    /// Adds the whole block of one subscriber.
    pub(crate) fn add(&mut self, impi: Impi, block: SequenceBlock) {
        self.remaining.insert(impi, block);
    }

    /// The part of the next request for this subscriber; `None` where the block does not suffice.
    pub(crate) fn next_block(&mut self, impi: &Impi, count: u64) -> Option<SequenceBlock> {
        self.remaining.get_mut(impi)?.split_front(count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn impi(name: &str) -> Impi {
        format!("{name}@alpha.example").parse().unwrap()
    }

    #[test]
    fn block_of_a_new_subscriber_begins_at_sequence_1() {
        let block = SequenceBlock::ending_at(Sequence::new(3).unwrap(), 3).unwrap();
        let numbers: Vec<u64> =
            block.sequence_numbers(IndexValue::ZERO).map(|sqn| sqn.sequence().get()).collect();
        assert_eq!(numbers, [1, 2, 3]);
    }

    #[test]
    fn block_that_would_begin_at_or_below_zero_is_no_block() {
        assert_eq!(SequenceBlock::ending_at(Sequence::new(2).unwrap(), 3), None);
        assert_eq!(SequenceBlock::ending_at(Sequence::new(2).unwrap(), 4), None);
    }

    #[test]
    fn block_may_end_with_the_last_sequence_there_is() {
        let block = SequenceBlock::ending_at(Sequence::MAXIMUM, 2).unwrap();
        let last = block.sequence_numbers(IndexValue::ZERO).last().unwrap();
        assert_eq!(last.sequence(), Sequence::MAXIMUM);
    }

    #[test]
    fn request_beyond_the_block_gets_nothing() {
        let mut sharing = SharingOut::default();
        sharing.add(impi("alice"), SequenceBlock { first: 1, count: 2 });
        assert!(sharing.next_block(&impi("alice"), 2).is_some());
        assert_eq!(sharing.next_block(&impi("alice"), 1), None);
        assert_eq!(sharing.next_block(&impi("bob"), 1), None);
    }

    proptest! {
        #[test]
        fn no_sequence_is_shared_out_twice_and_none_is_left_over(
            requests in proptest::collection::vec((0_u8..4, 1_u64..6), 1..40),
            starts in proptest::array::uniform4(0_u64..1_000_000),
        ) {
            let requests: Vec<(Impi, u64, u8)> = requests
                .into_iter()
                .map(|(who, count)| (impi(&format!("user{who}")), count, who))
                .collect();
            let totals = wanted_in_total(requests.iter().map(|(impi, count, _)| (impi, *count)));
            let mut sharing = SharingOut::default();
            let mut expected = 0;
            for (impi, total) in &totals {
                let who = usize::from(requests.iter().find(|request| request.0 == **impi).unwrap().2);
                let last = Sequence::new(starts[who] + total).unwrap();
                sharing.add((*impi).clone(), SequenceBlock::ending_at(last, *total).unwrap());
                expected += total;
            }
            let mut seen = HashSet::new();
            for (impi, count, _) in &requests {
                let block = sharing.next_block(impi, *count).unwrap();
                for sqn in block.sequence_numbers(IndexValue::ZERO) {
                    prop_assert!(seen.insert((impi.clone(), sqn)));
                }
            }
            prop_assert_eq!(seen.len() as u64, expected);
            prop_assert!(sharing.remaining.values().all(|block| block.count == 0));
        }
    }
}
