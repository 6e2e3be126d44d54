//! One client whose allocator counts; prints allocations and bytes for each call.

use mesh_peers::client;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [_, kind, addresses, control_plane, in_flight, calls] = &arguments[..] else { return };
    let (in_flight, calls) = (in_flight.parse().unwrap(), calls.parse().unwrap());
    let cost = client::run(kind, addresses, control_plane, in_flight, calls, |work| {
        let counted = allocation_counter::measure(work);
        (counted.count_total as f64, counted.bytes_total as f64)
    });
    println!("{} {}", cost.0, cost.1);
}
