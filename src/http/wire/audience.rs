//! Audiences.

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::recipient::{RecipientRequest, User};
use super::{Id, Instant};

/// A user in an audience.
#[derive(Serialize, ToSchema)]
pub struct AudienceMember {
    #[schema(pattern = "^AudienceMember$")]
    pub __typename: String,
    pub user_id: String,
    pub user: User,
    /// In this tenant alone.
    pub tenant: Option<String>,
    pub added_at: Instant,
}

/// Users to add or to take out.
#[derive(Serialize, ToSchema)]
pub struct MembersRequest {
    #[schema(max_items = 1000)]
    pub members: Vec<MemberRequest>,
}

/// A user, in one tenant or in none.
#[derive(Serialize, ToSchema)]
pub struct MemberRequest {
    pub user: RecipientRequest,
    pub tenant: Option<Id>,
}

/// What happens when there is no such audience.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CreateAudience {
    /// `true`: it is made.
    pub create_audience: Option<bool>,
}
