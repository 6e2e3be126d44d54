//! The fuzz targets on stable Rust: each body on its seeds and on bounded numbers of mutations of them, the same in
//! every run.

#[path = "../fuzz/bodies/mod.rs"]
pub mod bodies;

use mesh_core::clock::Clock;

/// Inputs per target.
const ROUNDS: usize = 5_000;

/// Runs `body` on each of `seeds`, and on mutations and splices of them.
fn exercise(body: fn(&[u8]), seeds: &[Vec<u8>]) {
    let random = Clock::seeded(4);
    let below = |n: usize| (random.entropy() % n.max(1) as u64) as usize;
    seeds.iter().for_each(|seed| body(seed));
    for _ in 0..ROUNDS {
        let mut data = if seeds.is_empty() { Vec::new() } else { seeds[below(seeds.len())].clone() };
        for _ in 0..=below(8) {
            let at = below(data.len() + 1);
            match below(6) {
                0 => data.insert(at, random.entropy() as u8),
                1 => data.extend((0..below(64)).map(|_| random.entropy() as u8)),
                2 => data.truncate(at),
                3 if !seeds.is_empty() => {
                    let other = &seeds[below(seeds.len())];
                    data.truncate(at);
                    data.extend_from_slice(&other[below(other.len() + 1)..]);
                }
                _ if at < data.len() => data[at] ^= 1 << below(8),
                _ => data.push(0),
            }
        }
        body(&data);
    }
}

#[test]
fn session() {
    let random = Clock::seeded(5);
    let mut seeds: Vec<Vec<u8>> =
        (0..64).map(|_| (0..400).map(|_| random.entropy() as u8).collect()).collect();
    for (choice, seed) in seeds.iter_mut().enumerate() {
        // Each kind of session, subscribed to everything that has a name, with a stream.
        let mut start = vec![choice as u8];
        for kind in 0..4 {
            (0..6).for_each(|name| start.extend([0, kind, name]));
        }
        start.push(2);
        start.append(seed);
        *seed = start;
    }
    exercise(bodies::session::run, &seeds);
}
