//! The methods of MCP, 2025-11-25 and 2026-07-28, and how a call of each is handled: it passes, it is decided, or it is
//! refused because the method is unknown.

/// How a call is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handling {
    /// It passes: it lists what exists, and has no effect that a policy could decide on.
    Passed,
    /// It is decided.
    Decided,
    /// It is denied, because its effect on a tool is unknown.
    Refused,
}

pub(super) const TOOLS_CALL: &str = "tools/call";
/// Methods whose calls pass.
const PASSED: [&str; 20] = [
    "initialize",
    "logging/setLevel",
    "notifications/cancelled",
    "notifications/elicitation/complete",
    "notifications/initialized",
    "notifications/message",
    "notifications/progress",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
    "notifications/resources/updated",
    "notifications/roots/list_changed",
    "notifications/subscriptions/acknowledged",
    "notifications/tasks/status",
    "notifications/tools/list_changed",
    "ping",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "server/discover",
    "tools/list",
];
/// Methods whose calls are decided.
const DECIDED: [&str; 8] = [
    "completion/complete",
    "prompts/get",
    "resources/directory/read",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
    TOOLS_CALL,
];
/// Extensions whose methods are all decided.
const DECIDED_BELOW: [&str; 2] = ["skills/", "tasks/"];

/// How a call of `method` is handled. Names are compared exactly: no other spelling is known.
pub(crate) fn handling(method: &str) -> Handling {
    let below = |prefix: &str| method.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty());
    if PASSED.contains(&method) {
        Handling::Passed
    } else if DECIDED.contains(&method) || DECIDED_BELOW.iter().any(|prefix| below(prefix)) {
        Handling::Decided
    } else {
        Handling::Refused
    }
}
