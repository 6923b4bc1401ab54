//! The ground floor: time, ids, configuration, what is injected into actors, and how they are sent to. It names no
//! other floor and knows nothing of notifications.

pub mod alarm;
pub mod clock;
pub mod config;
pub mod deps;
pub mod ids;
pub mod mail;
pub mod nearest;
pub mod turns;
pub mod work;
