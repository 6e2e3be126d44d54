//! Picking an endpoint, among few and among many: the time must not depend on it.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mesh_benches::members;
use mesh_core::balance::{P2c, PickContext, Picker};
use mesh_core::clock::Clock;
use std::hint::black_box;

fn pick(criterion: &mut Criterion) {
    let clock = Clock::seeded(1);
    // A second after the last answers, so that averages have to be aged.
    let now = 1_000_000;
    let mut group = criterion.benchmark_group("pick");
    for count in [10, 100, 1_000, 10_000, 100_000] {
        let members = members(count);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                let entropy = clock.entropy();
                let cx = PickContext { now, entropy, excluded: &[], hash: None, metadata: &[] };
                black_box(P2c.pick(&members, &cx));
            });
        });
    }
}

criterion_group!(benches, pick);
criterion_main!(benches);
