//! Finding the route of a request: the last of many, which is the worst.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method};
use mesh_benches::{Condition, routes};
use mesh_core::route::RequestHead;
use std::hint::black_box;

fn find(criterion: &mut Criterion) {
    for condition in [Condition::Exact, Condition::Prefix, Condition::Header] {
        let mut group = criterion.benchmark_group(format!("route/{condition:?}").to_lowercase());
        for count in [10, 100, 1_000] {
            let table = routes(count, condition);
            let path = format!("/package.Service{}/Method", count - 1);
            let value = HeaderValue::from_str(&(count - 1).to_string()).expect("digits are a header value");
            let headers = HeaderMap::from_iter([(http::HeaderName::from_static("x-route"), value)]);
            let head = RequestHead {
                method: &Method::POST,
                scheme: "http",
                authority: "host",
                path: &path,
                query: None,
                headers: &headers,
                grpc: true,
            };
            let host = table.find_host("host").and_then(|host| table.host(host)).expect("the host is there");
            assert!(host.find(&head, 0).is_some());
            group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                bencher.iter(|| black_box(host.find(black_box(&head), 0)));
            });
        }
    }
}

criterion_group!(benches, find);
criterion_main!(benches);
