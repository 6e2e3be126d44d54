//! What the fuzz targets do with their bytes: a file for each, whose `run` takes any bytes, and panics if something is
//! not as it has to be. `tests/fuzz.rs` does the same for a bounded time, and sees to the memory that is taken.

pub mod assemble;
pub mod bootstrap;
pub mod decode;
pub mod decode_after;
pub mod disk;
pub mod session;

use prost::Message;

/// The name in a resource: field 1, as all have it; empty if it cannot be read.
fn name_of(resource: &[u8]) -> String {
    #[derive(Clone, PartialEq, Message)]
    struct Named {
        #[prost(string, tag = "1")]
        name: String,
    }
    Named::decode(resource).unwrap_or_default().name
}
