//! Assignments that follow one another: what the second shares with the first must not change what it is. The input is
//! the length of the first (four bytes, little endian), the first and the second.

use super::name_of;
use bytes::Bytes;
use mesh_core::resource::{Kind, Resource};
use mesh_core::xds::kind::ResourceKind;

/// Reads two assignments, and the second once more without the first.
pub fn run(data: &[u8]) {
    let Some((len, rest)) = data.split_first_chunk::<4>() else { return };
    let Some((first, second)) = rest.split_at_checked(u32::from_le_bytes(*len) as usize) else { return };
    let (first, second) = (Bytes::copy_from_slice(first), Bytes::copy_from_slice(second));
    let Ok(before) = Kind::Endpoint.decode(&name_of(&first), &first, None) else { return };
    let name = name_of(&second);
    let alone = Kind::Endpoint.decode(&name, &second, None);
    let after = Kind::Endpoint.decode(&name, &second, Some(&before));
    match (alone, after) {
        (Ok(Resource::Endpoint(alone)), Ok(Resource::Endpoint(after))) => {
            assert_eq!(alone.priorities.len(), after.priorities.len());
            assert_eq!(alone.drops, after.drops);
            assert_eq!(alone.localities().count(), after.localities().count());
            for (alone, after) in alone.localities().zip(after.localities()) {
                assert_eq!((&alone.locality, alone.weight), (&after.locality, after.weight));
                assert!(alone.endpoints.iter().eq(after.endpoints.iter()));
            }
        }
        (Err(alone), Err(after)) => assert_eq!(alone, after),
        (alone, after) => panic!("{alone:?} is not {after:?}"),
    }
}

/// The input that makes [`run`] read `second` after `first`.
pub fn input(first: &[u8], second: &[u8]) -> Vec<u8> {
    let len = u32::try_from(first.len()).expect("assignments have less than 4 GB");
    [&len.to_le_bytes(), first, second].concat()
}
