//! How much of a resource has to be understood.

/// How much of a resource has to be understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Strictness {
    /// All of it: what cannot be used refuses the resource.
    #[default]
    Strict,
    /// What can be used: it is for another kind of proxy, Envoy, which can do more and minds less.
    Lenient,
}
