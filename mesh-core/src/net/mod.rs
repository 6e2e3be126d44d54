//! Sockets: addresses, dialling and liveness, shared by the xDS client and the endpoints.

mod address;
mod dial;
mod environment;
mod family;
mod file_reads;
pub mod h2_driver;
mod io;
pub mod tls;

pub use self::address::{Address, AddressError};
pub use self::dial::{
    Connect, ConnectFuture, DEFAULT_CONNECT_TIMEOUT, DEFAULT_TCP_KEEPALIVE, DEFAULT_TCP_USER_TIMEOUT, Dialer,
    RESOLVE_TIMEOUT, ResolveFuture,
};
pub use self::environment::{Environment, MAX_CONCURRENT_CONNECTS};
pub use self::family::DnsFamily;
pub use self::file_reads::FileReads;
pub use self::io::Io;
