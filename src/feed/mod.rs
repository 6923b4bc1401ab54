//! In-app feeds as readers see them. It may name the floors from `base` to `delivery`, and does not know HTTP.

pub mod counts;
pub mod cursor;
pub mod list;
pub mod query;
