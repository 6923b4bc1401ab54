//! The data file as it is now, streamed to whoever backs it up.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use actix_web::body::SizedStream;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream::try_unfold;
use tokio::sync::OwnedSemaphorePermit;

use super::State;
use super::auth::require_secret;
use super::error::ApiError;
use super::feeds::blocking;
use crate::store::backup::{BackupError, require_room};

/// What is read at once.
const CHUNK: usize = 1 << 20;

/// Back the data up.
///
/// A data file with all that was committed when the call came. It is made beside the data, where nothing of it is left
/// however this ends, and then sent: a client that reads slowly holds up nobody's writes.
#[utoipa::path(
    get, path = "/admin/backup",
    responses((status = 200, body = inline(Vec<u8>), content_type = "application/octet-stream")),
)]
pub async fn stream(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    require_secret(&request, &state)?;
    let place = Arc::clone(&state.backups).try_acquire_owned();
    let place = place.map_err(|_| ApiError::unavailable("another backup is under way; one is made at a time"))?;
    let file = blocking(&state, make).await?;
    let length = file.metadata().map_err(unreadable)?.len();
    tracing::info!(bytes = length, "a backup is sent");
    let chunks = try_unfold((file, place), next_chunk);
    Ok(HttpResponse::Ok()
        .content_type("application/octet-stream")
        .insert_header(("cache-control", "no-store"))
        .insert_header(("content-disposition", "attachment; filename=\"belfry-backup.redb\""))
        .body(SizedStream::new(length, Box::pin(chunks))))
}

fn make(state: &State) -> Result<File, BackupError> {
    require_room(&state.data_dir, &state.data_dir)?;
    let mut file = tempfile::tempfile_in(&state.data_dir)?;
    state.intake.engine.store.back_up(file.try_clone()?)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

type Rest = (File, OwnedSemaphorePermit);

async fn next_chunk((mut file, place): Rest) -> io::Result<Option<(Bytes, Rest)>> {
    let read = web::block(move || {
        let mut chunk = Vec::with_capacity(CHUNK);
        file.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
        Ok::<_, io::Error>((chunk, file))
    });
    let (chunk, file) = read.await.map_err(io::Error::other)??;
    Ok((!chunk.is_empty()).then(|| (Bytes::from(chunk), (file, place))))
}

fn unreadable(error: io::Error) -> ApiError {
    BackupError::Io(error).into()
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Store(error) => error.into(),
            BackupError::Io(_) | BackupError::NoRoom { .. } => Self::unavailable(error.to_string()),
        }
    }
}
