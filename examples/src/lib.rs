//! Shared pieces of the examples.

pub mod bookinfo;

/// The snippets of the pages for people, so that they are compiled.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/stack.md")]
    struct Stack;
}
