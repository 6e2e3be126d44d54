//! What the fuzz targets for resources do with their input; `tests/fuzz_resources.rs` does it with a fixed seed.

use bytes::Bytes;
use mesh_core::resource::fields::scan;
use mesh_core::resource::{Kind, Resource};
use mesh_core::xds::kind::ResourceKind;

/// Reads `input` as a resource of every kind: each is accepted or refused with a reason.
pub(crate) fn decode(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    for &kind in Kind::ALL {
        // The name has to be that in the resource for the decoder to go on.
        let name = name(input);
        if let Err(reason) = kind.decode(&name, &bytes, None) {
            assert!(!reason.is_empty());
        }
        scan(kind, input);
    }
}

/// Reads two assignments one after the other: what the second shares with the first must not change what it is.
/// The input is the length of the first (four bytes, little endian), the first and the second.
pub(crate) fn decode_after(input: &[u8]) {
    let Some((len, rest)) = input.split_first_chunk::<4>() else { return };
    let Some((first, second)) = rest.split_at_checked(u32::from_le_bytes(*len) as usize) else { return };
    let (first, second) = (Bytes::copy_from_slice(first), Bytes::copy_from_slice(second));
    let Ok(before) = Kind::Endpoint.decode(&name(&first), &first, None) else { return };
    let name = name(&second);
    let alone = Kind::Endpoint.decode(&name, &second, None);
    let after = Kind::Endpoint.decode(&name, &second, Some(&before));
    match (alone, after) {
        (Ok(Resource::Endpoint(alone)), Ok(Resource::Endpoint(after))) => {
            assert_eq!(alone.priorities.len(), after.priorities.len());
            assert_eq!(alone.drops, after.drops);
            for (alone, after) in alone.localities().zip(after.localities()) {
                assert_eq!((&alone.locality, alone.weight), (&after.locality, after.weight));
                assert!(alone.endpoints.iter().eq(after.endpoints.iter()));
            }
        }
        (Err(alone), Err(after)) => assert_eq!(alone, after),
        (alone, after) => panic!("{alone:?} is not {after:?}"),
    }
}

/// The text in field 1, if it is short and stands first.
fn name(bytes: &[u8]) -> String {
    let text = match bytes {
        [0x0a, len @ 0..=127, rest @ ..] => rest.get(..usize::from(*len)).unwrap_or_default(),
        _ => &[],
    };
    String::from_utf8_lossy(text).into_owned()
}
