//! What an idle socket costs.

use std::time::Duration;

use anyhow::Result;
use belfry::base::clock::sleep;

use crate::belfry;
use crate::listener::Kind;
use crate::resident::resident_bytes;

/// Resident memory that idle sockets of different users cost.
pub async fn measure(sockets: usize) -> Result<()> {
    let (_dir, server) = belfry()?;
    let before = resident_bytes(server.process.id())?;
    let listeners = Kind::Belfry.listeners(server.address, sockets, |number| format!("user-{number}")).await?;
    // What opening them took is given back.
    sleep(Duration::from_secs(1)).await;
    let after = resident_bytes(server.process.id())?;
    let each = after.saturating_sub(before) as f64 / listeners.len() as f64;
    println!(
        "{sockets} idle sockets of as many users: {:.2} KB of resident memory each (aim: at most 12.4)",
        each / 1_000.0
    );
    Ok(())
}
