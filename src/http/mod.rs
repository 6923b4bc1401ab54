//! The API over HTTP: routes, authentication, errors, and the developer's endpoints and demo page. It may name the
//! floors from `base` to `feed`; it parses and answers, and decides nothing about runs.

pub mod access_log;
pub mod advance;
pub mod audiences;
pub mod auth;
pub mod backup;
pub mod body;
pub mod bulk;
pub mod channel_data;
pub mod cors;
pub mod demo;
pub mod dev;
pub mod error;
pub mod explain;
pub mod feeds;
pub mod grants;
pub mod guides;
pub mod health;
pub mod hosted;
pub mod idempotency;
pub mod integrations;
pub mod key_ring;
pub mod keys;
pub mod message_activities;
pub mod message_content;
pub mod message_delivery_logs;
pub mod message_events;
pub mod message_json;
pub mod message_list;
pub mod messages;
pub mod objects;
pub mod openapi;
pub mod page;
pub mod pages;
pub mod preference_center;
pub mod preference_page;
pub mod preferences;
pub mod providers;
pub mod publishing;
pub mod recipient_runs;
pub mod recipients;
pub mod run_json;
pub mod runs;
pub mod schedules;
pub mod session;
pub mod socket;
pub mod subscriptions;
pub mod suppressions;
pub mod tenants;
pub mod tracking;
pub mod unsubscribe;
pub mod upgrade;
pub mod user_token;
pub mod users;
pub mod whose;
pub mod wire;
pub mod workflows;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::Addr;
use actix_web::guard;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use crate::base::clock::Timestamp;
use crate::delivery::courier::Courier;
use crate::engine::scheduler::Scheduler;
use crate::engine::trigger::Intake;
use crate::feed::hub::Hub;
use cors::AllowedOrigins;
use key_ring::KeyRing;
use user_token::Verifier;

/// What handlers share; behind an `Arc`.
pub struct State {
    pub intake: Intake,
    pub courier: Addr<Courier>,
    pub hub: Addr<Hub>,
    pub scheduler: Addr<Scheduler>,
    /// Places for sockets.
    pub sockets: Arc<Semaphore>,
    pub keys: KeyRing,
    /// Checks user tokens, if there is a key to do it with.
    pub user_tokens: Option<Verifier>,
    /// Public keys need a user token.
    pub enhanced_security: bool,
    pub allowed_origins: AllowedOrigins,
    pub max_body_bytes: usize,
    /// Where the store is.
    pub data_dir: PathBuf,
    /// The place for the one backup that may be under way.
    pub backups: Arc<Semaphore>,
    /// The developer's endpoints and the demo page are served.
    pub dev: bool,
    /// The key that the demo page uses, if one is known in the clear.
    pub demo_key: Option<String>,
    pub metrics: PrometheusHandle,
    /// False while the server shuts down: requests that start work are told to come back.
    pub accepting: AtomicBool,
}

impl State {
    /// The server's time.
    pub fn now(&self) -> Timestamp {
        self.intake.engine.deps.clock.now()
    }

    /// Under which recipients and browsers reach the server, without a slash at its end.
    pub fn public_url(&self) -> &str {
        self.intake.engine.links.base()
    }

    /// Whether new work is taken.
    pub fn is_accepting(&self) -> bool {
        self.accepting.load(Ordering::SeqCst) && self.intake.engine.store.failure().is_none()
    }
}

/// What users and objects have alike, under the path of one of them.
fn owned(routes: &mut ServiceConfig, path: &str) {
    let at = |rest: &str| format!("{path}{rest}");
    routes
        .route(&at("/preferences"), web::get().to(preferences::list))
        .route(&at("/preferences/{set}"), web::get().to(preferences::get))
        .route(&at("/preferences/{set}"), web::put().to(preferences::put))
        .route(&at("/preferences/{set}"), web::delete().to(preferences::unset))
        .route(&at("/preferences/{set}/{section}"), web::put().to(preferences::put_section))
        .route(&at("/preferences/{set}/{section}/{key}"), web::put().to(preferences::put_setting))
        .route(&at("/channel_data/{channel}"), web::get().to(channel_data::get))
        .route(&at("/channel_data/{channel}"), web::put().to(channel_data::set))
        .route(&at("/channel_data/{channel}"), web::delete().to(channel_data::unset))
        .route(&at("/messages"), web::get().to(message_list::list_of))
        .route(&at("/schedules"), web::get().to(schedules::list_of));
}

/// What Knock has and this server answers with nothing in it.
fn absent(routes: &mut ServiceConfig) {
    let (slack, teams) = ("/v1/providers/slack/{channel}", "/v1/providers/ms-teams/{channel}");
    let guides = "/v1/users/{id}/guides";
    let center = "/v1/users/{id}/preference_center";
    routes
        .route(&format!("{guides}/messages/{{status}}"), web::put().to(guides::mark))
        .route(&format!("{guides}/messages/{{message}}/{{status}}"), web::put().to(guides::mark))
        .route(&format!("{guides}/messages/archived"), web::delete().to(guides::mark))
        .route(&format!("{guides}/engagements/reset"), web::put().to(guides::mark))
        .route(&format!("{guides}/{{channel}}"), web::get().to(guides::list))
        .route(&format!("{center}/config"), web::get().to(preference_center::config))
        .route(&format!("{center}/signed_url"), web::post().to(preference_center::signed_url))
        .route(&format!("{slack}/auth_check"), web::get().to(providers::slack))
        .route(&format!("{slack}/channels"), web::get().to(providers::slack))
        .route(&format!("{slack}/revoke_access"), web::put().to(providers::revoke))
        // By a Node SDK of the first API.
        .route(&format!("{slack}/revoke_access"), web::get().to(providers::revoke))
        .route(&format!("{teams}/auth_check"), web::get().to(providers::ms_teams))
        .route(&format!("{teams}/teams"), web::get().to(providers::ms_teams))
        .route(&format!("{teams}/channels"), web::get().to(providers::ms_teams))
        .route(&format!("{teams}/revoke_access"), web::put().to(providers::revoke))
        .route("/v1/integrations/census/custom-destination", web::post().to(integrations::refuse))
        .route("/v1/integrations/hightouch/embedded-destination", web::post().to(integrations::refuse));
}

/// All routes. Whatever is not among them is answered with a 404 in the API's own form.
pub fn routes(config: &mut ServiceConfig, origins: &AllowedOrigins) {
    let dev = web::scope("/dev")
        .wrap(from_fn(dev::own_pages))
        .route("/mailbox", web::get().to(dev::mailbox))
        .route("/mailbox", web::delete().to(dev::clear_mailbox))
        .route("/mailbox/{id}", web::get().to(dev::mail))
        .route("/clock", web::get().to(dev::clock))
        .route("/clock/advance", web::post().to(dev::advance))
        .route("/trigger/{workflow}", web::post().to(dev::trigger));
    let demo = web::scope("/demo")
        .wrap(from_fn(dev::own_pages))
        .route("", web::get().to(demo::page))
        .route("/config.json", web::get().to(demo::config))
        .route("/{file}", web::get().to(demo::file));
    // Open to whoever holds a signed link.
    let hosted = web::scope("")
        .guard(guard::fn_guard(|request| hosted::is_hosted(request.head().uri.path())))
        .app_data(web::FormConfig::default().limit(hosted::MAX_FORM))
        .route("/hosted/style.css", web::get().to(hosted::style))
        .route("/unsubscribe/{token}", web::get().to(unsubscribe::ask))
        .route("/unsubscribe/{token}", web::post().to(unsubscribe::unsubscribe))
        .route("/p/{token}", web::get().to(preference_page::show))
        .route("/p/{token}", web::post().to(preference_page::save))
        .route("/t/o/{token}", web::get().to(tracking::opened))
        .route("/t/o/{token}", web::head().to(tracking::opened))
        .route("/t/c/{token}", web::get().to(tracking::clicked))
        .route("/t/c/{token}", web::head().to(tracking::clicked))
        .default_service(web::to(error::no_route));
    let api = web::scope("")
        .wrap(cors::cors(origins))
        .route("/v1/workflows/{key}/trigger", web::post().to(workflows::trigger))
        .route("/v1/workflows/{key}/cancel", web::post().to(workflows::cancel))
        .route("/v1/workflows/{key}/activate", web::put().to(publishing::activate))
        .route("/v1/users", web::get().to(users::list))
        .route("/v1/users/bulk/identify", web::post().to(users::bulk_identify))
        .route("/v1/users/bulk/delete", web::post().to(users::bulk_delete))
        .route("/v1/users/bulk/preferences", web::post().to(preferences::bulk_set))
        .route("/v1/users/{id}", web::get().to(users::get))
        .route("/v1/users/{id}", web::put().to(users::identify))
        .route("/v1/users/{id}", web::delete().to(users::delete))
        .route("/v1/users/{id}/merge", web::post().to(users::merge))
        .configure(|routes| owned(routes, "/v1/users/{id}"))
        .route("/v1/users/{id}/subscriptions", web::get().to(subscriptions::of_user))
        .route("/v1/objects/{collection}/bulk/set", web::post().to(objects::bulk_set))
        .route("/v1/objects/{collection}/bulk/delete", web::post().to(objects::bulk_delete))
        .route("/v1/objects/{collection}/bulk/subscriptions/add", web::post().to(subscriptions::bulk_add))
        .route("/v1/objects/{collection}/bulk/subscriptions/delete", web::post().to(subscriptions::bulk_delete))
        .route("/v1/objects/{collection}", web::get().to(objects::list))
        .route("/v1/objects/{collection}/{id}", web::get().to(objects::get))
        .route("/v1/objects/{collection}/{id}", web::put().to(objects::set))
        .route("/v1/objects/{collection}/{id}", web::delete().to(objects::delete))
        .route("/v1/objects/{collection}/{id}/subscriptions", web::get().to(subscriptions::of_object))
        .route("/v1/objects/{collection}/{id}/subscriptions", web::post().to(subscriptions::add))
        .route("/v1/objects/{collection}/{id}/subscriptions", web::delete().to(subscriptions::delete))
        .configure(|routes| owned(routes, "/v1/objects/{collection}/{id}"))
        .route("/v1/tenants/bulk/set", web::post().to(tenants::bulk_set))
        .route("/v1/tenants/bulk/delete", web::post().to(tenants::bulk_delete))
        .route("/v1/tenants", web::get().to(tenants::list))
        .route("/v1/tenants/{id}", web::get().to(tenants::get))
        .route("/v1/tenants/{id}", web::put().to(tenants::set))
        .route("/v1/tenants/{id}", web::delete().to(tenants::delete))
        .configure(absent)
        .route("/v1/audiences/{key}/members", web::get().to(audiences::list))
        .route("/v1/audiences/{key}/members", web::post().to(audiences::add))
        .route("/v1/audiences/{key}/members", web::delete().to(audiences::remove))
        .route("/v1/notify", web::post().to(workflows::notify))
        .route("/v1/notify/cancel", web::post().to(workflows::notify_cancel))
        .route("/v1/users/{id}/feeds/{channel}", web::get().to(feeds::list))
        .route("/ws/v1/websocket", web::get().to(socket::open))
        .route("/v1/users/{id}/feeds/{channel}/settings", web::get().to(feeds::settings))
        .route("/v1/messages", web::get().to(message_list::list))
        .route("/v1/messages/batch/content", web::get().to(message_content::batch))
        .route("/v1/messages/batch/{status}", web::post().to(messages::batch))
        .route("/v1/messages/{id}", web::get().to(messages::get))
        .route("/v1/messages/{id}/activities", web::get().to(message_activities::list))
        .route("/v1/messages/{id}/content", web::get().to(message_content::get))
        .route("/v1/messages/{id}/delivery_logs", web::get().to(message_delivery_logs::list))
        .route("/v1/messages/{id}/events", web::get().to(message_events::list))
        .route("/v1/messages/{id}/{status}", web::put().to(messages::set))
        .route("/v1/messages/{id}/{status}", web::delete().to(messages::clear))
        .route("/v1/channels/{channel}/messages/bulk/{action}", web::post().to(bulk::mark))
        .route("/v1/schedules", web::get().to(schedules::list))
        .route("/v1/schedules", web::post().to(schedules::create))
        .route("/v1/schedules", web::put().to(schedules::update))
        .route("/v1/schedules", web::delete().to(schedules::delete))
        .route("/v1/schedules/bulk/create", web::post().to(schedules::bulk_create))
        .route("/v1/openapi", web::get().to(openapi::json))
        .route("/v1/openapi.json", web::get().to(openapi::json))
        .route("/docs", web::get().to(openapi::page))
        .route("/docs/{file}", web::get().to(openapi::file))
        .route("/v1/bulk_operations/{id}", web::get().to(bulk::get))
        .route("/v1/workflow_recipient_runs", web::get().to(recipient_runs::list))
        .route("/v1/workflow_recipient_runs/{id}", web::get().to(recipient_runs::get))
        .route("/admin/keys", web::get().to(keys::list))
        .route("/admin/keys", web::post().to(keys::create))
        .route("/admin/keys/{id}", web::delete().to(keys::revoke))
        .route("/admin/suppressions", web::get().to(suppressions::list))
        .route("/admin/suppressions", web::post().to(suppressions::add))
        .route("/admin/suppressions/{address}", web::delete().to(suppressions::remove))
        .route("/admin/backup", web::get().to(backup::stream))
        .route("/admin/workflows/reload", web::post().to(publishing::reload))
        .route("/admin/runs", web::get().to(runs::list))
        .route("/admin/workflows/{key}/explain", web::post().to(explain::post))
        .route("/healthz", web::get().to(health::alive))
        .route("/readyz", web::get().to(health::ready))
        .route("/metrics", web::get().to(health::metrics))
        .default_service(web::to(error::no_route));
    // The developer's routes first: the API's scope takes every path.
    config.service(dev).service(demo).service(hosted).service(api).default_service(web::to(error::no_route));
}
