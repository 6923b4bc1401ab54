//! How far a right reaches among the items of one user.

use std::collections::BTreeSet;

/// Which of a user's items a right reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// All of them.
    Everything,
    /// Those of these tenants, and those without a tenant if `tenantless`.
    Tenants { tenants: BTreeSet<String>, tenantless: bool },
}

impl Access {
    /// Whether it reaches the items of `tenant`, or those without one.
    pub fn covers(&self, tenant: Option<&str>) -> bool {
        match (self, tenant) {
            (Self::Everything, _) => true,
            (Self::Tenants { tenants, .. }, Some(tenant)) => tenants.contains(tenant),
            (Self::Tenants { tenantless, .. }, None) => *tenantless,
        }
    }
}
