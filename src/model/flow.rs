//! Whose turn it is: what shares a machine takes turns by flow, so that the load of one delays no other.

use serde::{Deserialize, Serialize};

/// The runs of one workflow for one tenant, as a hash of both. Two flows that share a hash share their turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Flow(pub u32);

impl Flow {
    /// The flow of `workflow` for `tenant`.
    pub fn of(workflow: &str, tenant: Option<&str>) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("belfry flow v1");
        hasher.update(workflow.as_bytes());
        hasher.update(&[0]);
        hasher.update(tenant.unwrap_or_default().as_bytes());
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
        Self(u32::from_le_bytes(bytes))
    }
}
