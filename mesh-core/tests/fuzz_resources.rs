//! The bodies of the fuzz targets for resources, run with a fixed seed and for a bounded time.

mod answers;
#[path = "../fuzz/bodies/resources.rs"]
mod bodies;

use answers::answers;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
fn rng(seed: u8) -> TestRng {
    TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32])
}

#[test]
fn arbitrary_bytes_are_read_or_refused() {
    let mut rng = rng(1);
    for _ in 0..20_000 {
        let mut bytes = vec![0; rng.next_u32() as usize % 200];
        rng.fill_bytes(&mut bytes);
        bodies::decode(&bytes);
    }
}

#[test]
fn changed_answers_are_read_or_refused() {
    let mut rng = rng(2);
    for answer in answers() {
        for _ in 0..3 {
            let mut bytes = answer.bytes.to_vec();
            for _ in 0..1 + rng.next_u32() % 4 {
                mutate(&mut bytes, &mut rng);
            }
            bodies::decode(&bytes);
        }
    }
}

#[test]
fn an_assignment_read_with_the_one_before_is_the_same() {
    let mut rng = rng(3);
    for answer in answers().into_iter().filter(|answer| answer.kind == mesh_core::resource::Kind::Endpoint) {
        for _ in 0..20 {
            let mut bytes = answer.bytes.to_vec();
            mutate(&mut bytes, &mut rng);
            let mut pair = u32::try_from(answer.bytes.len()).unwrap().to_le_bytes().to_vec();
            pair.extend_from_slice(&answer.bytes);
            pair.extend_from_slice(&bytes);
            bodies::decode_after(&pair);
        }
    }
}

/// Changes, cuts, doubles or takes out some bytes.
fn mutate(bytes: &mut Vec<u8>, rng: &mut TestRng) {
    if bytes.is_empty() {
        return;
    }
    let at = rng.next_u32() as usize % bytes.len();
    let end = (at + 1 + rng.next_u32() as usize % 40).min(bytes.len());
    match rng.next_u32() % 5 {
        0 => bytes[at] = rng.next_u32().to_le_bytes()[0],
        1 => bytes[at] ^= 1 << (rng.next_u32() % 8),
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        _ => {
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
    }
}
