//! Subscriptions of recipients to objects.

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::recipient::{Recipient, RecipientReference, RecipientRequest, StoredObject};
use super::{Id, Instant, Properties};

/// A recipient that is notified when its object is.
#[derive(Serialize, ToSchema)]
pub struct Subscription {
    #[schema(pattern = "^Subscription$")]
    pub __typename: String,
    pub object: StoredObject,
    pub recipient: Recipient,
    pub properties: Option<Properties>,
    pub inserted_at: Instant,
    pub updated_at: Instant,
}

/// Recipients to subscribe to an object.
#[derive(Serialize, ToSchema)]
pub struct SubscribeRequest {
    #[schema(max_items = 100)]
    pub recipients: Vec<RecipientRequest>,
    /// What templates read as `recipient.subscription`.
    pub properties: Option<Properties>,
}

/// Recipients to unsubscribe from an object.
#[derive(Serialize, ToSchema)]
pub struct UnsubscribeRequest {
    #[schema(max_items = 100)]
    pub recipients: Vec<RecipientReference>,
}

/// Recipients to subscribe to several objects of a collection.
#[derive(Serialize, ToSchema)]
pub struct BulkSubscribeRequest {
    #[schema(max_items = 1000)]
    pub subscriptions: Vec<ObjectSubscribers>,
}

/// Recipients to subscribe to one of the objects.
#[derive(Serialize, ToSchema)]
pub struct ObjectSubscribers {
    /// The object's.
    pub id: Id,
    #[schema(max_items = 100)]
    pub recipients: Vec<RecipientRequest>,
    pub properties: Option<Properties>,
}

/// Recipients to unsubscribe from several objects of a collection.
#[derive(Serialize, ToSchema)]
pub struct BulkUnsubscribeRequest {
    #[schema(max_items = 1000)]
    pub subscriptions: Vec<ObjectUnsubscribers>,
}

/// Recipients to unsubscribe from one of the objects.
#[derive(Serialize, ToSchema)]
pub struct ObjectUnsubscribers {
    /// The object's.
    pub id: Id,
    #[schema(max_items = 100)]
    pub recipients: Vec<RecipientReference>,
}

/// Which of an object's subscriptions.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ObjectSubscriptions {
    /// `object`: who subscribes to it; `recipient`: what it subscribes to.
    #[param(inline)]
    pub mode: Option<Mode>,
    /// Only these, as `recipients[]=<user id>` or `recipients[0][collection]=..&recipients[0][id]=..`.
    #[param(rename = "recipients[]")]
    pub recipients: Option<Vec<String>>,
}

/// From which end an object's subscriptions are looked at.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Object,
    Recipient,
}
