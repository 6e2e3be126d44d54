//! Where configuration comes from.

mod files;
mod memory;

pub use self::files::Files;
pub use self::memory::Memory;
