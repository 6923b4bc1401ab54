pub mod base;
pub mod delivery;
pub mod engine;
pub mod model;
pub mod store;
pub mod template;
