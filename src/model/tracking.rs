//! What is told of the readers of emails, and of whom it is not told (`knock-engine.md` section 7.6).

/// What is tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tracking {
    /// That a message was opened.
    pub opens: bool,
    /// That a link was followed.
    pub links: bool,
}

/// What a step says of it, over its channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackingOverride {
    pub opens: Option<bool>,
    pub links: Option<bool>,
}

impl Tracking {
    /// What holds where a step says `over`.
    pub fn under(self, over: TrackingOverride) -> Self {
        Self { opens: over.opens.unwrap_or(self.opens), links: over.links.unwrap_or(self.links) }
    }
}

/// What programs that follow links call themselves, in lower case: scanners of mail, previews of chats, search engines. A
/// mail service that fetches pictures for its readers is none of them.
const MACHINES: [&str; 14] = [
    "bot",
    "crawl",
    "spider",
    "preview",
    "scan",
    "barracuda",
    "proofpoint",
    "mimecast",
    "safelinks",
    "symantec",
    "curl/",
    "wget/",
    "python",
    "headless",
];

/// Whether whoever calls itself `user_agent` is a person's browser, as far as that can be told. Every browser says what it
/// is.
pub fn is_person(user_agent: Option<&str>) -> bool {
    let name = user_agent.unwrap_or_default().to_ascii_lowercase();
    !name.is_empty() && !MACHINES.iter().any(|machine| name.contains(machine))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_otherwise_either_way_and_silence_is_the_channels() {
        let channel = Tracking { opens: true, links: false };
        let over = |opens, links| channel.under(TrackingOverride { opens, links });
        assert_eq!(over(None, None), channel);
        assert_eq!(over(Some(false), Some(true)), Tracking { opens: false, links: true });
    }

    #[test]
    fn scanners_are_not_readers_and_mail_services_that_fetch_for_readers_are() {
        for agent in
            [None, Some(""), Some("Googlebot/2.1"), Some("Barracuda Sentinel"), Some("Slackbot-LinkExpanding 1.0")]
        {
            assert!(!is_person(agent), "{agent:?}");
        }
        let gmail = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
        for agent in [gmail, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15"] {
            assert!(is_person(Some(agent)), "{agent}");
        }
    }
}
