//! Whether a client believes that this is the server it means.
//!
//! The server has proved that it is `proven`; the question is whether that is the right one. What must hold: nothing
//! is trusted on first use without a person or `--trust-new` saying so, and neither of them is enough for an id that
//! changed: the new one must be typed.

use super::address::Address;
use super::known::KnownServers;
use crate::model::key::ServerId;

/// All that bears on the decision.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What the user typed, with the pin if there is one.
    pub address: &'a Address,
    /// Who the server has proved to be, on this connection.
    pub proven: ServerId,
    /// Whether the certificate was checked against `--ca`, and passed.
    pub by_ca: bool,
    /// The servers met before.
    pub known: &'a KnownServers,
    /// `server.pub` of the certs directory at hand; it counts for loopback addresses only.
    pub local: Option<ServerId>,
    /// `--trust-new`.
    pub trust_new: bool,
    /// Whether there is a person to ask.
    pub interactive: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Accept {
        /// And put the proven id into `known_servers` first.
        remember: bool,
    },
    /// Show the id and ask; after a yes go on and remember it.
    Ask {
        /// To compare with what the operator says.
        id: ServerId,
    },
    /// Hang up; the client ends with exit code 5.
    Refuse(TrustError),
}

/// The server is not trusted. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Another server than the one in the typed address.
    #[error(
        "the server at {key} is not the one you typed: it is\n  {proven}\nEither the address is out of date, or \
         somebody stands between you and the server. If its operator confirms this id, run:\n  \
         rejoin play --server {key}#{proven}",
        key = address.key()
    )]
    Pin {
        /// What was typed.
        address: Address,
        /// Who answered.
        proven: ServerId,
    },
    /// Another server than before.
    #[error(
        "the server at {key} is not the one it was: it was\n  {known}\nand is\n  {proven}\nEither it was set up anew, \
         or somebody stands between you and the server. If its operator confirms the new id, run:\n  \
         rejoin play --server {key}#{proven}",
        key = address.key()
    )]
    Changed {
        /// What was typed.
        address: Address,
        /// Who answered before.
        known: ServerId,
        /// Who answers.
        proven: ServerId,
    },
    /// A server never met, and nobody to ask.
    #[error(
        "the server at {key} is not known here; its id is\n  {proven}\nIf its operator confirms this id, run:\n  \
         rejoin play --server {key}#{proven}\nor add --trust-new to trust whoever answers",
        key = address.key()
    )]
    Unknown {
        /// What was typed.
        address: Address,
        /// Who answered.
        proven: ServerId,
    },
}

/// Trusts, in this order: a pin, `--ca`, `known_servers`, this machine's own certs directory, first use.
#[must_use]
pub fn decide(evidence: &Evidence<'_>) -> Decision {
    let &Evidence { address, proven, by_ca, known, local, trust_new, interactive } = evidence;
    let known = known.get(address);
    if let Some(pin) = address.id {
        return if pin == proven {
            Decision::Accept { remember: known != Some(proven) }
        } else {
            Decision::Refuse(TrustError::Pin { address: address.clone(), proven })
        };
    }
    if by_ca {
        return Decision::Accept { remember: false };
    }
    if let Some(known) = known {
        return if known == proven {
            Decision::Accept { remember: false }
        } else {
            Decision::Refuse(TrustError::Changed { address: address.clone(), known, proven })
        };
    }
    if address.is_loopback() && local == Some(proven) {
        // Not remembered: the directory says it each time, and may belong to another server tomorrow.
        return Decision::Accept { remember: false };
    }
    match (trust_new, interactive) {
        (true, _) => Decision::Accept { remember: true },
        (false, true) => Decision::Ask { id: proven },
        (false, false) => Decision::Refuse(TrustError::Unknown { address: address.clone(), proven }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: ServerId = ServerId([1; 32]);
    const OTHER: ServerId = ServerId([2; 32]);
    const ACCEPT: Decision = Decision::Accept { remember: false };
    const REMEMBER: Decision = Decision::Accept { remember: true };

    struct Case {
        address: String,
        known: Option<ServerId>,
        by_ca: bool,
        local: Option<ServerId>,
        trust_new: bool,
        interactive: bool,
    }

    /// A server never met, over the network, by a script.
    fn stranger() -> Case {
        Case {
            address: "far.example:3000".to_owned(),
            known: None,
            by_ca: false,
            local: None,
            trust_new: false,
            interactive: false,
        }
    }

    /// What is decided about a server that has proved to be [`RIGHT`].
    fn judge(case: &Case) -> Decision {
        let address: Address = case.address.parse().unwrap();
        let mut known = KnownServers::default();
        if let Some(id) = case.known {
            known.insert(&address, id);
        }
        decide(&Evidence {
            address: &address,
            proven: RIGHT,
            by_ca: case.by_ca,
            known: &known,
            local: case.local,
            trust_new: case.trust_new,
            interactive: case.interactive,
        })
    }

    fn refusal(case: &Case) -> TrustError {
        match judge(case) {
            Decision::Refuse(error) => error,
            other @ (Decision::Accept { .. } | Decision::Ask { .. }) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_pin_decides_whatever_else_is_said() {
        for known in [None, Some(RIGHT), Some(OTHER)] {
            for (by_ca, trust_new, interactive) in [(false, false, false), (true, true, true)] {
                let pinned = |id| Case {
                    address: format!("far.example#{id}"),
                    known,
                    by_ca,
                    trust_new,
                    interactive,
                    ..stranger()
                };
                let remember = known != Some(RIGHT);
                assert_eq!(judge(&pinned(RIGHT)), Decision::Accept { remember });
                assert!(matches!(refusal(&pinned(OTHER)), TrustError::Pin { proven: RIGHT, .. }));
            }
        }
    }

    #[test]
    fn an_authority_comes_before_the_servers_met() {
        assert_eq!(judge(&Case { by_ca: true, ..stranger() }), ACCEPT);
        assert_eq!(judge(&Case { by_ca: true, known: Some(OTHER), ..stranger() }), ACCEPT);
    }

    #[test]
    fn a_server_met_before_is_accepted_and_a_changed_one_refused_whoever_asks() {
        assert_eq!(judge(&Case { known: Some(RIGHT), ..stranger() }), ACCEPT);
        for (trust_new, interactive) in [(false, false), (false, true), (true, false), (true, true)] {
            let case = Case { known: Some(OTHER), trust_new, interactive, ..stranger() };
            assert!(matches!(refusal(&case), TrustError::Changed { known: OTHER, proven: RIGHT, .. }));
            let at_home = Case { address: "localhost".to_owned(), local: Some(RIGHT), ..case };
            assert!(matches!(refusal(&at_home), TrustError::Changed { .. }));
        }
    }

    #[test]
    fn the_certs_directory_at_hand_counts_for_loopback_only() {
        let at_home = || Case { address: "[::1]:3000".to_owned(), local: Some(RIGHT), ..stranger() };
        assert_eq!(judge(&at_home()), ACCEPT);
        let far = Case { local: Some(RIGHT), ..stranger() };
        assert!(matches!(refusal(&far), TrustError::Unknown { .. }));
        let other_directory = Case { local: Some(OTHER), ..at_home() };
        assert!(matches!(refusal(&other_directory), TrustError::Unknown { .. }));
    }

    #[test]
    fn a_stranger_is_taken_by_a_person_or_by_trust_new_only() {
        assert!(matches!(refusal(&stranger()), TrustError::Unknown { .. }));
        assert_eq!(judge(&Case { interactive: true, ..stranger() }), Decision::Ask { id: RIGHT });
        assert_eq!(judge(&Case { trust_new: true, ..stranger() }), REMEMBER);
        assert_eq!(judge(&Case { trust_new: true, interactive: true, ..stranger() }), REMEMBER);
    }

    #[test]
    fn every_refusal_says_what_to_type() {
        let command = format!("rejoin play --server far.example:3000#{RIGHT}");
        for case in [
            stranger(),
            Case { known: Some(OTHER), ..stranger() },
            Case { address: format!("far.example#{OTHER}"), ..stranger() },
        ] {
            let text = refusal(&case).to_string();
            assert!(text.contains(&command), "{text}");
        }
        assert!(refusal(&stranger()).to_string().contains("--trust-new"));
    }
}
