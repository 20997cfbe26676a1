//! Finds the rules that can match a call, by tool, action and role; the cost does not depend on the number of rules.

use std::{collections::HashMap, sync::Arc};

use crate::cedar::scope::Scope;

/// Means "any" in a key.
const ANY: u32 = 0;

/// Numbers for the names of one kind, from 1.
#[derive(Debug, Default)]
struct Names(HashMap<Arc<str>, u32>);

impl Names {
    fn number(&mut self, name: &Arc<str>) -> u32 {
        let next = u32::try_from(self.0.len() + 1).expect("a document of 1 MiB has fewer than 2^32 names");
        *self.0.entry(name.clone()).or_insert(next)
    }

    /// `None` if no rule contains the name.
    fn find(&self, name: &str) -> Option<u32> {
        self.0.get(name).copied()
    }
}

/// Rules by their scope.
#[derive(Debug, Default)]
pub(crate) struct Index {
    tools: Names,
    actions: Names,
    roles: Names,
    /// By tool, action, role.
    rules: HashMap<[u32; 3], Vec<usize>>,
    /// The combinations of tool, action and role that rules name, each once: a call is looked up in at most eight
    /// places.
    shapes: Vec<[bool; 3]>,
}

impl Index {
    /// Adds the rule numbered `nth`.
    pub(crate) fn insert(&mut self, nth: usize, scope: &Scope) {
        let shape = [scope.tool.is_some(), scope.actions.is_some(), scope.role.is_some()];
        if !self.shapes.contains(&shape) {
            self.shapes.push(shape);
        }
        let tool = scope.tool.as_ref().map_or(ANY, |tool| self.tools.number(tool));
        let role = scope.role.as_ref().map_or(ANY, |role| self.roles.number(role));
        let mut file = |action| self.rules.entry([tool, action, role]).or_default().push(nth);
        match &scope.actions {
            None => file(ANY),
            Some(actions) => actions.iter().for_each(|action| file(self.actions.number(action))),
        }
    }

    /// The actions that a rule names and a rule covers, sorted.
    pub(crate) fn actions(&self, tool: &str, role: &str) -> Vec<&str> {
        let covered = |action: &&str| self.matching(tool, action, role).next().is_some();
        let mut actions: Vec<_> = self.actions.0.keys().map(AsRef::as_ref).filter(covered).collect();
        actions.sort_unstable();
        actions
    }

    /// The rules whose scope covers the call, each once, in no particular order.
    pub(crate) fn matching(&self, tool: &str, action: &str, role: &str) -> impl Iterator<Item = usize> {
        let call = [self.tools.find(tool), self.actions.find(action), self.roles.find(role)];
        let key = move |shape: &[bool; 3]| -> Option<[u32; 3]> {
            let part = |nth: usize| if shape[nth] { call[nth] } else { Some(ANY) };
            Some([part(0)?, part(1)?, part(2)?])
        };
        self.shapes.iter().filter_map(key).filter_map(|key| self.rules.get(&key)).flatten().copied()
    }
}
