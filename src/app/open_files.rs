//! The limit on open files, of which every socket takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside browsers' sockets: some for the store and the log, the rest for requests and mail under way.
const OTHERS: u64 = 1_000;

/// Raises the limit to the most that the system lets this process have, and says when that is too little for `sockets`.
pub fn raise(sockets: usize) {
    let most = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }) {
        tracing::warn!(%error, "the limit on open files could not be raised");
    }
    if let Some(room) = too_few(getrlimit(Resource::Nofile).current, sockets) {
        tracing::warn!(
            room,
            sockets,
            "the limit on open files leaves room for fewer sockets than http.max_sockets: raise the hard limit \
             (LimitNOFILE= of systemd, --ulimit nofile= of Docker), or lower http.max_sockets"
        );
    }
}

/// For how many sockets there is room with the most that the system lets this process have, if that is fewer than
/// `sockets`.
pub fn room_if_too_few(sockets: usize) -> Option<u64> {
    too_few(getrlimit(Resource::Nofile).maximum, sockets)
}

/// For how many sockets there is room if it is fewer than `sockets`; no limit is room for all.
fn too_few(limit: Option<u64>, sockets: usize) -> Option<u64> {
    let room = limit?.saturating_sub(OTHERS);
    (room < sockets as u64).then_some(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_cannot_hold_the_sockets_is_noticed() {
        assert_eq!(too_few(None, 50_000), None);
        assert_eq!(too_few(Some(51_000), 50_000), None);
        assert_eq!(too_few(Some(50_999), 50_000), Some(49_999));
        assert_eq!(too_few(Some(64), 50_000), Some(0));
    }
}
