//! How long to look for a server that nobody has met yet.

use crate::model::time::Now;

/// Whether a server was ever found.
pub(super) struct Looking {
    /// When to give up; never, once there is a reason not to.
    pub(super) until: Now,
    pub(super) reached: bool,
    /// Why the last dial failed, and whether something else than a server had answered.
    pub(super) last: Option<(String, bool)>,
}

impl Looking {
    pub(super) const fn until(until: Now) -> Self {
        Self { until, reached: false, last: None }
    }

    /// Why there is no use in looking on. A listener that does not answer yet may be held open for a server that is
    /// just starting; one that answers in another language is another program.
    pub(super) fn in_vain(&mut self) -> Option<String> {
        match self.last.take() {
            Some((why, stranger)) => (stranger || !self.reached).then_some(why),
            None => (!self.reached).then(|| "no answer".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_silence_of_a_listener_is_worth_waiting_for() {
        let look = |reached, last: Option<bool>| {
            let last = last.map(|stranger| ("why".to_owned(), stranger));
            Looking { until: Now(0), reached, last }.in_vain().is_some()
        };
        assert!(look(false, None) && look(false, Some(false)), "nothing listens");
        assert!(look(true, Some(true)), "another program listens");
        assert!(!look(true, None) && !look(true, Some(false)), "it may just be starting");
    }
}
