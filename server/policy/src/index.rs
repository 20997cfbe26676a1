//! Which rules can match a call: by tool, action and role, whatever the number of rules.

use std::{collections::HashMap, sync::Arc};

use crate::cedar::scope::Scope;

/// Stands for "any" in a key.
const ANY: u32 = 0;

/// Numbers for the names of one kind, from 1.
#[derive(Debug, Default)]
struct Names(HashMap<Arc<str>, u32>);

impl Names {
    fn number(&mut self, name: &Arc<str>) -> u32 {
        let next = u32::try_from(self.0.len() + 1).expect("a document of 1 MiB has fewer than 2^32 names");
        *self.0.entry(name.clone()).or_insert(next)
    }

    /// The numbers under which rules for `name` are filed: its own, if any rule names it, and that of every rule for any.
    fn lookups(&self, name: &str) -> impl Iterator<Item = u32> + Clone {
        self.0.get(name).copied().into_iter().chain([ANY])
    }
}

/// Rules by what they cover.
#[derive(Debug, Default)]
pub(crate) struct Index {
    tools: Names,
    actions: Names,
    roles: Names,
    /// By tool, action, role.
    rules: HashMap<[u32; 3], Vec<usize>>,
}

impl Index {
    /// Files the rule numbered `nth`.
    pub(crate) fn insert(&mut self, nth: usize, scope: &Scope) {
        let tool = scope.tool.as_ref().map_or(ANY, |tool| self.tools.number(tool));
        let role = scope.role.as_ref().map_or(ANY, |role| self.roles.number(role));
        let mut file = |action| self.rules.entry([tool, action, role]).or_default().push(nth);
        match &scope.actions {
            None => file(ANY),
            Some(actions) => actions.iter().for_each(|action| file(self.actions.number(action))),
        }
    }

    /// The rules whose scope covers the call, each once, in no particular order.
    pub(crate) fn matching(&self, tool: &str, action: &str, role: &str) -> impl Iterator<Item = usize> {
        let (actions, roles) = (self.actions.lookups(action), self.roles.lookups(role));
        let keys = self.tools.lookups(tool).flat_map(move |tool| {
            let roles = roles.clone();
            actions.clone().flat_map(move |action| roles.clone().map(move |role| [tool, action, role]))
        });
        keys.filter_map(|key| self.rules.get(&key)).flatten().copied()
    }
}
