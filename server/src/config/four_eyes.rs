//! The actions that need two persons besides sponsors, approvals and bindings (`four_eyes`): policies,
//! kill_switch_release and admin_keys, or none.

use countersign_app::{AlsoTwo, FourEyes};

use super::{problem::Problem, settings::Settings};

const KEY: &str = "four_eyes";

/// `none`, or a list of actions that need two persons, besides sponsors, approvals and bindings.
pub(super) fn read(settings: &mut Settings) -> FourEyes {
    let mut also = AlsoTwo::default();
    for (word, origin) in settings.list(KEY) {
        match word.as_str() {
            "policies" => also.policies = true,
            "kill_switch_release" => also.kill_switch_release = true,
            "admin_keys" => also.admin_keys = true,
            _ => {
                let wanted = "must name policies, kill_switch_release or admin_keys; none cannot be combined with them";
                settings.report_all(vec![Problem::new(origin, KEY, wanted)]);
            }
        }
    }
    match settings.word(KEY, &[("none", FourEyes::None)]) {
        Some(none) if also == AlsoTwo::default() => none,
        Some(_) => {
            settings.report(KEY, "has the value none in one place and a list in another: set one of them only");
            FourEyes::default()
        }
        None if also == AlsoTwo::default() => FourEyes::default(),
        None => FourEyes::Persons(also),
    }
}
