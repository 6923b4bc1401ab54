//! Schedules.

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::recipient::{Recipient, RecipientRequest};
use super::{Instant, Properties};

/// A workflow that is triggered for one recipient, once or again and again.
#[derive(Serialize, ToSchema)]
pub struct Schedule {
    #[schema(pattern = "^Schedule$")]
    pub __typename: String,
    pub id: String,
    /// The workflow's key.
    pub workflow: String,
    pub recipient: Recipient,
    pub actor: Option<Recipient>,
    pub tenant: Option<String>,
    pub data: Option<Properties>,
    pub repeats: Vec<ScheduleRepeat>,
    pub scheduled_at: Option<Instant>,
    pub ending_at: Option<Instant>,
    /// `null`: there is none any more.
    pub next_occurrence_at: Option<Instant>,
    pub last_occurrence_at: Option<Instant>,
    pub inserted_at: Instant,
    pub updated_at: Instant,
}

/// A rule of a schedule, by the clocks of its recipient.
#[derive(Serialize, ToSchema)]
pub struct ScheduleRepeat {
    #[schema(pattern = "^ScheduleRepeat$")]
    pub __typename: String,
    pub frequency: Frequency,
    pub interval: u16,
    pub days: Option<Vec<Day>>,
    pub day_of_month: Option<u8>,
    pub hours: Option<u8>,
    pub minutes: Option<u8>,
}

/// How often.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Frequency {
    Hourly,
    Daily,
    Weekly,
    Monthly,
}

/// A day of the week.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A rule to make.
#[derive(Serialize, ToSchema)]
pub struct RepeatRequest {
    pub frequency: Frequency,
    #[schema(minimum = 1, maximum = 999)]
    pub interval: Option<u16>,
    /// Also `"weekdays"` or `"weekends"`.
    pub days: Option<Vec<Day>>,
    #[schema(minimum = 1, maximum = 31)]
    pub day_of_month: Option<u8>,
    #[schema(minimum = 0, maximum = 23)]
    pub hours: Option<u8>,
    /// A multiple of 5.
    #[schema(minimum = 0, maximum = 55, multiple_of = 5)]
    pub minutes: Option<u8>,
}

/// One plan for several recipients. It needs `repeats`, or `scheduled_at` for once.
#[derive(Serialize, ToSchema)]
pub struct CreateSchedulesRequest {
    pub workflow: String,
    #[schema(min_items = 1, max_items = 100)]
    pub recipients: Vec<RecipientRequest>,
    #[schema(max_items = 20)]
    pub repeats: Option<Vec<RepeatRequest>>,
    pub scheduled_at: Option<Instant>,
    pub ending_at: Option<Instant>,
    pub data: Option<Properties>,
    pub tenant: Option<RecipientRequest>,
    pub actor: Option<RecipientRequest>,
}

/// What to change in these schedules. What is not said stays, `null` removes.
#[derive(Serialize, ToSchema)]
pub struct UpdateSchedulesRequest {
    #[schema(max_items = 100)]
    pub schedule_ids: Vec<String>,
    #[schema(max_items = 20)]
    pub repeats: Option<Vec<RepeatRequest>>,
    pub scheduled_at: Option<Instant>,
    pub ending_at: Option<Instant>,
    pub data: Option<Properties>,
    pub tenant: Option<RecipientRequest>,
    pub actor: Option<RecipientRequest>,
}

/// Schedules to delete.
#[derive(Serialize, ToSchema)]
pub struct DeleteSchedulesRequest {
    #[schema(max_items = 100)]
    pub schedule_ids: Vec<String>,
}

/// Plans, each for one recipient.
#[derive(Serialize, ToSchema)]
pub struct BulkCreateSchedulesRequest {
    #[schema(max_items = 1000)]
    pub schedules: Vec<ScheduleRequest>,
}

/// A plan for one recipient.
#[derive(Serialize, ToSchema)]
pub struct ScheduleRequest {
    pub workflow: String,
    pub recipient: RecipientRequest,
    #[schema(max_items = 20)]
    pub repeats: Option<Vec<RepeatRequest>>,
    pub scheduled_at: Option<Instant>,
    pub ending_at: Option<Instant>,
    pub data: Option<Properties>,
    pub tenant: Option<RecipientRequest>,
    pub actor: Option<RecipientRequest>,
}

/// Which schedules.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ScheduleFilter {
    /// The workflow's key.
    pub workflow: String,
    pub tenant: Option<String>,
    /// Only of these.
    #[param(rename = "recipients[]")]
    pub recipients: Option<Vec<String>>,
}

/// Which of a recipient's schedules.
#[derive(Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OwnScheduleFilter {
    /// The workflow's key.
    pub workflow: Option<String>,
    pub tenant: Option<String>,
}
