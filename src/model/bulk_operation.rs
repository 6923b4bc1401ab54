//! Bulk operations: what became of a call that changed many things at once.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::clock::Timestamp;
use crate::base::ids::BulkOperationId;

/// A bulk operation that is done. There are no others: the call is answered when all is written, and one that a crash
/// interrupted was never answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkOperation {
    pub id: BulkOperationId,
    pub name: String,
    /// How many things were changed.
    pub rows: u64,
    pub started_at: Timestamp,
    pub completed_at: Timestamp,
}

impl BulkOperation {
    /// The wire form; `origin` is where clients reach this server.
    pub fn to_json(&self, origin: &str) -> Value {
        json!({
            "__typename": "BulkOperation",
            "id": self.id,
            "name": self.name,
            "status": "completed",
            "estimated_total_rows": self.rows,
            "processed_rows": self.rows,
            "success_count": self.rows,
            "error_count": 0,
            "error_items": [],
            "progress_path": format!("{origin}/v1/bulk_operations/{}", self.id),
            "started_at": self.started_at,
            "completed_at": self.completed_at,
            "failed_at": null,
            "inserted_at": self.started_at,
            "updated_at": self.completed_at,
        })
    }
}
