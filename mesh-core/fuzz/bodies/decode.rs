//! Resources: whatever their bytes, they are accepted or refused with a reason. The input is the index of the kind and
//! the resource.

use super::name_of;
use bytes::Bytes;
use mesh_core::resource::Kind;
use mesh_core::resource::fields::scan;
use mesh_core::xds::kind::ResourceKind;

/// Reads a resource.
pub fn run(data: &[u8]) {
    let Some((&choice, resource)) = data.split_first() else { return };
    let kind = Kind::ALL[usize::from(choice) % Kind::ALL.len()];
    let bytes = Bytes::copy_from_slice(resource);
    for path in scan(kind, resource).keys() {
        assert!(!path.is_empty(), "a field without a name");
    }
    // The name has to be that in the resource for the decoder to go on.
    let name = name_of(resource);
    match kind.decode(&name, &bytes, None) {
        Ok(_) => {
            let other = kind.decode(&format!("{name}'"), &bytes, None);
            assert!(other.is_err(), "a resource passes for another");
        }
        Err(reason) => {
            assert!(!reason.is_empty(), "refused without a reason");
            assert!(reason.len() < 1_000 + 20 * data.len(), "{} bytes of reason", reason.len());
        }
    }
}

/// The input that makes [`run`] read `resource`.
pub fn input(kind: Kind, resource: &[u8]) -> Vec<u8> {
    [&[kind.index() as u8], resource].concat()
}
