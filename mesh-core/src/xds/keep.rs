//! Bytes that outlive what they came in.

use bytes::Bytes;

/// `part` of `whole`, to be kept for long: a copy, because a slice would keep the whole alive; but a slice where that
/// wastes next to nothing, so that what is large and came alone is not copied.
///
/// # Panics
///
/// If `part` is not a slice of `whole`.
pub(super) fn keep(part: &[u8], whole: &Bytes) -> Bytes {
    if part.len() >= whole.len() / 10 * 9 { whole.slice_ref(part) } else { Bytes::copy_from_slice(part) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_most_of_the_whole_keeps_it_alive() {
        let whole = Bytes::from(vec![7; 1000]);
        let shared = |len: usize| keep(&whole[10..10 + len], &whole).as_ptr() == whole[10..].as_ptr();
        assert!(shared(950) && shared(900));
        assert!(!shared(899) && !shared(1));
        assert_eq!(keep(&whole[..899], &whole), whole[..899]);
    }
}
