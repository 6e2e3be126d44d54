//! What the fuzz targets do with their bytes: one file per target, each with a function `run` that must neither panic
//! nor take more memory than its input justifies. Shared with `tests/fuzz.rs`.

pub mod session;
