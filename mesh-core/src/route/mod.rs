//! Routes, compiled: a request to the place it goes to.

mod host;
mod index;
mod matching;
mod table;

pub use self::host::serving;
pub use self::matching::RequestHead;
pub use self::table::{Action, ClusterIndex, Forward, Route, RouteTable, VirtualHost};
