//! Seeds that once failed, with the fault that each found. They are played by every run of the tests.

/// Seed and what was wrong.
pub const REGRESSIONS: &[(u64, &str)] = &[
    (12, "the client went away between the commit of its trigger and the start of its runs: they never began"),
    (98, "the same, and the repeated request was answered as if all were well"),
    (43, "a clock that was set back gave a new item a time before that of a session's join: it was not told of it"),
    (
        234,
        "a cancel ended a run between the commit of its item and the hint of it: whoever watched the feed was not told",
    ),
];
