//! What a unary call costs the client: through the mesh, and through what people use instead.
//!
//! `peers` starts one echo server process, then a client process for each kind of channel in turn, over and over, and
//! prints medians. Each client calls from one thread with a number of calls in flight and reports its own CPU time and
//! rate. A second program, whose allocator counts, tells the allocations; under valgrind the instructions are counted,
//! which no other load on the machine disturbs. A third program, `scale`, measures what configuration costs.

pub mod bare;
pub mod client;
pub mod server;
pub mod table;
pub mod usage;
pub mod world;

/// What is compared. The first is the reference of the ratios.
pub const KINDS: [&str; 7] =
    ["tonic Channel", "h2", "mesh", "tonic balance_list, 3", "tonic-xds", "tonic-xds, 3", "mesh, 3"];
