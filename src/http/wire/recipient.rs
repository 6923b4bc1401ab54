//! Users, objects and tenants.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::preference::PreferenceSetRequest;
use super::{Id, Instant, Properties};

/// A user: beside these fields, every property that it was given.
#[derive(Serialize, ToSchema)]
pub struct User {
    #[schema(pattern = "^User$")]
    pub __typename: String,
    pub id: String,
    /// Whatever the caller said.
    pub created_at: Value,
    pub updated_at: Instant,
}

/// An object: anything that is no user and can be notified or subscribed to.
#[derive(Serialize, ToSchema)]
#[schema(as = Object)]
pub struct StoredObject {
    #[schema(pattern = "^Object$")]
    pub __typename: String,
    pub id: String,
    pub collection: String,
    pub properties: Properties,
    /// Whatever the caller said.
    pub created_at: Value,
    pub updated_at: Instant,
}

/// A tenant: beside these fields, every property that it was given.
#[derive(Serialize, ToSchema)]
pub struct Tenant {
    #[schema(pattern = "^Tenant$")]
    pub __typename: String,
    pub id: String,
    pub settings: TenantSettings,
}

/// How a tenant looks, and what it says for its users.
#[derive(Serialize, ToSchema)]
pub struct TenantSettings {
    pub branding: Value,
    pub preference_set: Value,
}

/// A user or an object.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Recipient {
    User(User),
    Object(StoredObject),
}

/// A user by its id, or an object.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum RecipientReference {
    User(Id),
    Object(ObjectReference),
}

/// An object by its collection and id.
#[derive(Serialize, ToSchema)]
pub struct ObjectReference {
    pub collection: Id,
    pub id: Id,
}

/// Properties to merge in: objects key by key, everything else is replaced, `null` overwrites. Beside these, any others
/// up to 256 kB.
#[derive(Serialize, ToSchema)]
pub struct IdentifyRequest {
    pub name: Option<String>,
    #[schema(examples("ada@example.com"))]
    pub email: Option<String>,
    pub phone_number: Option<String>,
    pub avatar: Option<String>,
    pub locale: Option<String>,
    #[schema(examples("Europe/London"))]
    pub timezone: Option<String>,
    /// By channel id.
    pub channel_data: Option<BTreeMap<String, Value>>,
    /// By the id of the set; each is merged in.
    pub preferences: Option<BTreeMap<String, PreferenceSetRequest>>,
}

/// The same of a tenant, with its settings.
#[derive(Serialize, ToSchema)]
pub struct TenantRequest {
    pub name: Option<String>,
    /// By channel id.
    pub channel_data: Option<BTreeMap<String, Value>>,
    pub settings: Option<TenantSettingsRequest>,
}

/// How a tenant looks, and what it says for its users: the latter is merged in.
#[derive(Serialize, ToSchema)]
pub struct TenantSettingsRequest {
    pub branding: Option<Properties>,
    pub preference_set: Option<PreferenceSetRequest>,
}

/// A recipient by its id, with properties to merge in.
#[derive(Serialize, ToSchema)]
pub struct InlineRecipient {
    pub id: Id,
    /// An object's; a user has none.
    pub collection: Option<Id>,
    pub name: Option<String>,
    #[schema(examples("ada@example.com"))]
    pub email: Option<String>,
    /// By channel id.
    pub channel_data: Option<BTreeMap<String, Value>>,
    /// By the id of the set; each is merged in.
    pub preferences: Option<BTreeMap<String, PreferenceSetRequest>>,
}

/// A recipient by its id, or with properties to merge in.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum RecipientRequest {
    Id(Id),
    Inline(InlineRecipient),
}

/// Whom to merge in.
#[derive(Serialize, ToSchema)]
pub struct MergeRequest {
    /// The user that is merged and deleted.
    pub from_user_id: Id,
}

/// Users to create or to merge in.
#[derive(Serialize, ToSchema)]
pub struct BulkIdentifyRequest {
    #[schema(max_items = 1000)]
    pub users: Vec<InlineRecipient>,
}

/// Users to delete.
#[derive(Serialize, ToSchema)]
pub struct BulkDeleteUsersRequest {
    #[schema(max_items = 1000)]
    pub user_ids: Vec<Id>,
}

/// Objects to create or to merge in.
#[derive(Serialize, ToSchema)]
pub struct BulkSetObjectsRequest {
    #[schema(max_items = 1000)]
    pub objects: Vec<InlineRecipient>,
}

/// Objects to delete.
#[derive(Serialize, ToSchema)]
pub struct BulkDeleteObjectsRequest {
    #[schema(max_items = 1000)]
    pub object_ids: Vec<Id>,
}

/// Tenants to create or to merge in.
#[derive(Serialize, ToSchema)]
pub struct BulkSetTenantsRequest {
    #[schema(max_items = 1000)]
    pub tenants: Vec<RecipientRequest>,
}

/// Tenants to delete.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TenantIds {
    #[param(rename = "tenant_ids[]", max_items = 1000)]
    pub tenant_ids: Vec<String>,
}

/// Which tenants.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TenantFilter {
    pub tenant_id: Option<String>,
    pub name: Option<String>,
}

/// How a tenant is shown.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TenantView {
    /// `true`: with its preferences laid over the environment's.
    pub resolve_full_preference_settings: Option<bool>,
}

/// Where a recipient is reached on a channel.
#[derive(Serialize, ToSchema)]
pub struct ChannelData {
    #[schema(pattern = "^ChannelData$")]
    pub __typename: String,
    pub channel_id: String,
    /// `tokens` and `devices` of push, `connections` of chat.
    pub data: Properties,
}

/// Where a recipient is reached on a channel: this replaces what is there.
#[derive(Serialize, ToSchema)]
pub struct ChannelDataRequest {
    #[schema(value_type = Object, examples(json!({"tokens": ["token"]})))]
    pub data: Properties,
}

/// What a preference center would show: none is here, so that it is not enabled.
#[derive(Serialize, ToSchema)]
pub struct PreferenceCenter {
    pub enabled: bool,
    pub account_name: Option<String>,
    pub user_email: Option<String>,
    pub knock_branding_required: bool,
    pub branding: Properties,
    pub config: Properties,
}

/// The link to a user's preference center.
#[derive(Serialize, ToSchema)]
pub struct PreferenceLink {
    pub token: String,
    pub url: String,
}
