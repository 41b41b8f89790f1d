//! What is measured and not told: sessions that are live twice (I7), secrets in clear (I11), sizes (I13), damage (I14).

use std::collections::BTreeSet;

use super::case::{Case, Finding};
use crate::chaos::history::{Call, Told, What};

/// What damages bytes.
const DAMAGING: [&str; 7] = ["rot", "bad-byte", "damage", "zeroes", "deleted", "truncate", "changed-bytes"];

/// I7: a session is live on one connection at a time, and a resume that is replayed is refused.
pub(super) fn sessions(case: &Case<'_>) -> Finding {
    Finding { exercised: live_again(case), wrong: case.finals.figures.doubles.clone() }
}

/// Whether anybody was live more than once.
fn live_again(case: &Case<'_>) -> bool {
    let mut seen = BTreeSet::new();
    case.told().any(|(_, record, told)| {
        matches!(told, Told::Link { state, .. } if state == "live") && !seen.insert(record.who.as_str())
    })
}

/// I11: no secret is in clear in any packet, file or log.
pub(super) fn secrets(case: &Case<'_>) -> Finding {
    let secret = |what: &What| {
        matches!(what, What::Invoke { call: Call::AddUser { .. } | Call::Login { .. } | Call::Passwd { .. }, .. })
    };
    let typed = case.history.iter().any(|record| secret(&record.what));
    Finding { exercised: typed, wrong: case.finals.figures.leaks.clone() }
}

/// I13: queues, files and memory stay bounded.
pub(super) fn sizes(case: &Case<'_>) -> Finding {
    let sizes = &case.finals.figures.sizes;
    let over = sizes.iter().filter(|(_, value, limit)| value > limit);
    let wrong = over.map(|(name, value, limit)| format!("{name} is {value}, over {limit}")).collect();
    Finding { exercised: !sizes.is_empty(), wrong }
}

/// I14: damage is detected, and never answered as truth.
pub(super) fn damage(case: &Case<'_>) -> Finding {
    let struck = DAMAGING.into_iter().any(|fault| case.struck(fault));
    let figures = &case.finals.figures;
    let wrong: Vec<String> = figures.damage_believed.iter().chain(&figures.unreadable).cloned().collect();
    Finding { exercised: struck || !wrong.is_empty(), wrong }
}
