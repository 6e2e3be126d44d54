//! Virtual time, scripted control planes and misbehaving backends for tests.
