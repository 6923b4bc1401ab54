//! Preference sets.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Id;

/// What a recipient wants. `null`: nothing is said.
#[derive(Serialize, ToSchema)]
pub struct PreferenceSet {
    /// `default`, or a tenant's.
    pub id: String,
    pub workflows: Option<BTreeMap<String, Value>>,
    pub categories: Option<BTreeMap<String, Value>>,
    pub channel_types: Option<BTreeMap<String, Value>>,
    pub channels: Option<BTreeMap<String, Value>>,
    /// `true`, `false`, or conditions.
    pub commercial_subscribed: Value,
}

/// What a recipient wants: it replaces the set, unless `__persistence_strategy__` is `merge`.
#[derive(Serialize, ToSchema)]
pub struct PreferenceSetRequest {
    #[serde(rename = "__persistence_strategy__")]
    pub persistence: Option<PersistenceStrategy>,
    /// By key.
    pub workflows: Option<BTreeMap<String, Preference>>,
    /// By key.
    pub categories: Option<BTreeMap<String, Preference>>,
    pub channel_types: Option<ByChannelType>,
    /// By channel id.
    pub channels: Option<BTreeMap<String, Switch>>,
    pub commercial_subscribed: Option<Switch>,
}

/// How a write meets what is stored.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PersistenceStrategy {
    Merge,
    Replace,
}

/// Wanted or not, or if conditions hold.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Switch {
    Always(bool),
    If(Conditions),
}

/// Conditions, all of which must hold.
#[derive(Serialize, ToSchema)]
pub struct Conditions {
    pub conditions: Vec<Condition>,
}

/// A comparison.
#[derive(Serialize, ToSchema)]
pub struct Condition {
    #[schema(examples("recipient.plan"), pattern = "^recipient\\.[a-z]{1,8}$")]
    pub variable: String,
    #[schema(examples("equal_to"))]
    pub operator: Operator,
    #[schema(examples("pro"))]
    pub argument: Option<String>,
}

/// The plain ones; timestamps and audiences have their own.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    EqualTo,
    NotEqualTo,
    GreaterThan,
    LessThan,
    Contains,
    NotContains,
    Empty,
    NotEmpty,
    Exists,
    NotExists,
}

/// What is wanted of a workflow or a category.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Preference {
    Always(bool),
    Some(PreferenceParts),
}

/// What is wanted of a workflow or a category, by channel.
#[derive(Serialize, ToSchema)]
pub struct PreferenceParts {
    pub channel_types: Option<ByChannelType>,
    /// By channel id.
    pub channels: Option<BTreeMap<String, Switch>>,
    pub conditions: Option<Vec<Condition>>,
}

/// What is wanted of each type of channel.
#[derive(Serialize, ToSchema)]
pub struct ByChannelType {
    pub email: Option<Switch>,
    pub in_app_feed: Option<Switch>,
    pub sms: Option<Switch>,
    pub push: Option<Switch>,
    pub chat: Option<Switch>,
    pub http: Option<Switch>,
}

/// The settings of one section, by key. They replace the section.
#[derive(Serialize, ToSchema)]
#[schema(value_type = Object, examples(json!({"alert": false})))]
pub struct SectionRequest(pub Value);

/// One setting, which replaces the one that is there.
#[derive(Serialize, ToSchema)]
pub struct SettingRequest {
    pub subscribed: bool,
}

/// One set for many users.
#[derive(Serialize, ToSchema)]
pub struct BulkPreferencesRequest {
    #[schema(max_items = 1000)]
    pub user_ids: Vec<Id>,
    pub preferences: PreferenceSetRequest,
}

/// Whose view of a set.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TenantView {
    /// With what this tenant says.
    pub tenant: Option<String>,
}
