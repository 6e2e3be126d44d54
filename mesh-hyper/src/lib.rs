//! An HTTP client that is a service mesh.
