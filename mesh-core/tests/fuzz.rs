//! The fuzz targets on stable Rust: each on its seeds and on a bounded number of mutations of them, the same in every run.

mod answers;
#[path = "../fuzz/bodies/mod.rs"]
pub mod bodies;
#[path = "../fuzz/seeds.rs"]
pub mod seeds;

use allocation_counter::measure;
use mesh_core::clock::Clock;
use seeds::{Target, targets};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Memory that any input may take, in bytes: above all compiled regular expressions.
const MEMORY: usize = 16 << 20;
/// Memory that each byte of an input may take beside that: a field of a few bytes can make a large structure.
const MEMORY_PER_BYTE: usize = 1_000;

/// Runs a target on its seeds, on `rounds` mutations and splices of them, and on bytes without any sense.
fn exercise(name: &str, rounds: usize) {
    let Target { run, seeds, .. } = targets().into_iter().find(|target| target.name == name).unwrap();
    let seeds: Vec<_> = seeds.into_iter().collect();
    assert!(!seeds.is_empty());
    let run = |input: &[u8]| {
        let taken = measure(|| run(input)).bytes_max as usize;
        let limit = MEMORY + MEMORY_PER_BYTE * input.len();
        assert!(taken <= limit, "{} bytes take {taken} bytes of memory", input.len());
    };
    seeds.iter().for_each(|seed| run(seed));
    let mut random = Random(Clock::seeded(4));
    for _ in 0..rounds {
        let mut input = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(8) {
            random.mutate(&mut input, &seeds);
        }
        run(&input);
    }
    for _ in 0..rounds {
        let len = random.below(200);
        run(&random.bytes(len));
    }
}

struct Random(Clock);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        (self.0.entropy() % n.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.0.entropy() as u8
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    /// Changes, adds, takes away or doubles some bytes, or goes on with those of another seed.
    fn mutate(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = (at + 1 + self.below(40)).min(input.len());
        match self.below(8) {
            0 => input.insert(at, self.byte()),
            1 => {
                let len = self.below(64);
                input.extend(self.bytes(len));
            }
            2 => input.truncate(at),
            3 => drop(input.drain(at..end)),
            4 => {
                let part = input[at..end].to_vec();
                input.splice(at..at, part);
            }
            5 => {
                let other = &seeds[self.below(seeds.len())];
                input.truncate(at);
                input.extend_from_slice(&other[self.below(other.len() + 1)..]);
            }
            6 if at < input.len() => input[at] = self.byte(),
            _ if at < input.len() => input[at] ^= 1 << self.below(8),
            _ => input.push(0),
        }
    }
}

/// The targets for the fuzzer are no part of the workspace, and not compiled with it.
#[test]
fn each_target_for_the_fuzzer_runs_its_body() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let files = |folder: &str| -> BTreeSet<String> {
        let files = fs::read_dir(fuzz.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let names: BTreeSet<_> = targets().iter().map(|target| target.name.to_owned()).collect();
    let (written, bodies) = (files("fuzz_targets"), files("bodies"));
    assert_eq!(written, names);
    assert_eq!(bodies.into_iter().filter(|name| name != "mod").collect::<BTreeSet<_>>(), names);
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let readme = fs::read_to_string(fuzz.join("README.md")).unwrap();
    assert_eq!(manifest.matches("[[bin]]").count(), names.len());
    for name in &names {
        let target = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        let expected = format!(
            "#![no_main]\n\nlibfuzzer_sys::fuzz_target!(|data: &[u8]| mesh_core_fuzz::{name}::run(data));\n"
        );
        assert_eq!(target, expected, "{name}");
        let bin = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\ntest = false\n");
        assert!(manifest.contains(&bin), "{name}");
        assert!(readme.contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn the_recorded_answers_are_accepted_by_the_session() {
    let mut sum = 0;
    for seed in seeds::recorded_sessions() {
        let received = bodies::session::drive(&seed);
        sum += received.valid;
        assert_eq!(received.invalid, 0);
    }
    assert!(sum > 1_000, "only {sum} resources");
}

#[test]
fn session() {
    exercise("session", 3_000);
}

#[test]
fn decode() {
    exercise("decode", 20_000);
}

#[test]
fn decode_after() {
    exercise("decode_after", 10_000);
}

#[test]
fn assemble() {
    exercise("assemble", 300);
}

#[test]
fn bootstrap() {
    exercise("bootstrap", 20_000);
}

#[test]
fn disk() {
    exercise("disk", 5_000);
}
