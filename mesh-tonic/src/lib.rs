//! A tonic channel that is a service mesh.
