//! The key that links in messages are signed with.

use anyhow::{Result, anyhow};

use crate::store::Store;
use crate::store::op::Op;
use crate::store::tables::LINK_KEY;

/// The key of `store`, made at the first start and kept with the data: links last as long as it.
pub async fn of(store: &Store) -> Result<[u8; 32]> {
    if let Some(key) = store.read()?.secret(LINK_KEY)? {
        return Ok(key);
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| anyhow!("the operating system gave no random bytes: {error}"))?;
    store.submit(Op::KeepSecret(LINK_KEY, key)).await?;
    Ok(key)
}
