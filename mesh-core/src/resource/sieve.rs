//! A summary of a few addresses that tells most others apart from them without looking at them.

use crate::net::Address;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Bits of a sieve: of 32 addresses, one in forty of all others passes for one of them.
const BITS: u64 = 256;
const WORDS: usize = BITS as usize / 64;

/// A summary of a few addresses (a Bloom filter).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sieve([u64; WORDS]);

/// What is looked for in sieves: the bits that an address has in each of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark([(usize, u64); 4]);

impl Mark {
    pub(super) fn of(address: &Address) -> Self {
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        let hash = hasher.finish();
        let bit = |part: u32| {
            let bit = (hash >> (16 * part)) % BITS;
            ((bit / 64) as usize, 1 << (bit % 64))
        };
        Self([bit(0), bit(1), bit(2), bit(3)])
    }
}

impl Sieve {
    pub(super) fn insert(&mut self, Mark(bits): Mark) {
        for (word, bit) in bits {
            self.0[word] |= bit;
        }
    }

    /// Whether an address may be one of those that were put in; never wrong when the answer is no.
    pub(super) fn may_hold(&self, Mark(bits): &Mark) -> bool {
        bits.iter().all(|&(word, bit)| self.0[word] & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(port: u16) -> Mark {
        Mark::of(&Address::host_port("10.0.0.1", port))
    }

    #[test]
    fn what_was_put_in_is_held_and_little_else() {
        let mut sieve = Sieve::default();
        (0..32).for_each(|port| sieve.insert(mark(port)));
        assert!((0..32).all(|port| sieve.may_hold(&mark(port))));
        let others = (1000..2000).filter(|port| sieve.may_hold(&mark(*port))).count();
        assert!(others < 60, "{others} of 1,000");
    }
}
