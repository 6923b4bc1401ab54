//! Topics: what a browser's socket can join (`knock-api.md` sections 4.2, 4.3 and 4.5).

/// What a frame is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topic<'a> {
    /// The socket itself: heartbeats.
    Socket,
    /// The feed of one user on one channel.
    Feed { channel: &'a str, user: &'a str },
    /// In-product guides, of which this server has none: a join is welcome and hears nothing.
    Guides,
}

impl<'a> Topic<'a> {
    /// Reads a topic. Only the first two colons divide: a user's id may hold more.
    pub fn parse(text: &'a str) -> Option<Self> {
        match text.split_once(':') {
            None => (text == "phoenix").then_some(Self::Socket),
            Some(("feeds", rest)) => {
                let (channel, user) = rest.split_once(':')?;
                (!user.is_empty()).then_some(Self::Feed { channel, user })
            }
            Some(("guides", _)) => Some(Self::Guides),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_id_may_hold_colons() {
        assert_eq!(Topic::parse("feeds:c1:u:1+x@y.z"), Some(Topic::Feed { channel: "c1", user: "u:1+x@y.z" }));
        assert_eq!(Topic::parse("phoenix"), Some(Topic::Socket));
        assert_eq!(Topic::parse("guides:c1"), Some(Topic::Guides));
        for strange in ["", "feeds", "feeds:", "feeds:c1", "feeds:c1:", "phoenix:x", "other:c1:u1"] {
            assert_eq!(Topic::parse(strange), None, "{strange}");
        }
    }
}
