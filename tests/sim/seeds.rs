//! Seeds that once failed, with the fault that each found. They are played by every run of the tests.

/// Seed and what was wrong.
pub const REGRESSIONS: &[(u64, &str)] = &[];
