//! Who may call which method: one table with a row for each. A method without a row is refused.

mod table;
#[cfg(test)]
pub(crate) mod tests;

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use countersign_app::{AccessBasis, Authorized, Caller, Error, OperatorCaller, Purpose};
use countersign_core::operator::{OperatorRole, Roles};

pub(crate) use table::TABLE;
#[cfg(test)]
use tests::ADDED;

/// Rows that only tests add to the table.
#[cfg(not(test))]
const ADDED: &[Row] = &[];

/// One method, and who may call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// The path, `/countersign.v1.SponsorService/RegisterSponsor`.
    pub(crate) method: &'static str,
    /// Who may call it.
    pub(crate) access: Access,
    /// Any operator may call it where they are the sponsor, and only then; whose it is is the verb's to check. Only what
    /// stops something is such a method, and what has to do with the answer that a policy asks the sponsor for.
    pub(crate) sponsor: bool,
    /// How long its calls last.
    pub(crate) kind: CallKind,
    /// Whether it stops something, for which there are places, connections and a rate that nothing else takes.
    pub(crate) stops: bool,
    /// What it is for.
    pub(crate) work: Work,
    /// Whether a key may call it that is for some tools or sponsors: the verb holds it to those, or there is nothing of others
    /// in it.
    pub(crate) scoped: bool,
}

/// What a method is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// It changes what others may do, or what is set up: refusals of it are put on record.
    Administers,
    /// It only reads what is stored: so many of those at a time of one caller.
    Reads,
    /// It asks, reports or waits, and changes nothing that is set up.
    Other,
}

/// How long calls of a method last, and so which of them share a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallKind {
    /// As long as a request may take.
    Request,
    /// Up to [`LONGEST_WAIT`] longer: it waits for a person.
    Wait,
    /// As long as its caller likes: the answer is a stream.
    Stream,
}

/// The longest that a method waits for a person.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Without authentication. Health and reflection only: they return nothing that is not public.
    Open,
    /// Whoever authenticates: any operator, and any instance whose credential is live.
    Authenticated,
    /// Operators with one of these roles, and instances as said.
    Granted {
        /// One of them is enough.
        roles: Roles,
        /// Whether an instance may call it for itself and its chain. Which is its own is the verb's to check.
        instance: Instance,
    },
}

/// What a method lets an instance do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instance {
    /// It may not call the method.
    Never,
    /// While its credential is live.
    Live,
    /// Even when its credential has expired or is revoked: the verb refuses it, and records that it did.
    Recorded,
    /// Even then, and up to a day after its credential's end: what it reports is evidence, and allows nothing.
    Reporting,
}

/// Who asks.
pub(crate) enum Requester<'a> {
    /// A caller who is not authenticated.
    Unauthenticated,
    /// An operator, with their roles.
    Operator(Roles),
    /// An instance, with what tells whether its credential is live, or why not.
    Instance(&'a dyn Fn() -> Result<(), Error>),
}

impl Row {
    const fn of(method: &'static str, access: Access) -> Self {
        let (kind, work) = (CallKind::Request, Work::Administers);
        Self { method, access, sponsor: false, kind, stops: false, work, scoped: false }
    }

    const fn open(method: &'static str) -> Self {
        Self::of(method, Access::Open).working()
    }

    const fn authenticated(method: &'static str) -> Self {
        Self::of(method, Access::Authenticated).scoped()
    }

    const fn roles(method: &'static str, roles: &[OperatorRole]) -> Self {
        let access = Access::Granted { roles: Roles::of(roles), instance: Instance::Never };
        Self::of(method, access)
    }

    const fn or_instance(method: &'static str, roles: &[OperatorRole]) -> Self {
        let access = Access::Granted { roles: Roles::of(roles), instance: Instance::Live };
        Self::of(method, access)
    }

    const fn or_any_instance(method: &'static str, roles: &[OperatorRole]) -> Self {
        let access = Access::Granted { roles: Roles::of(roles), instance: Instance::Recorded };
        Self::of(method, access).working()
    }

    const fn or_reporting_instance(method: &'static str, roles: &[OperatorRole]) -> Self {
        let access = Access::Granted { roles: Roles::of(roles), instance: Instance::Reporting };
        Self::of(method, access).working()
    }

    const fn or_the_sponsor(self) -> Self {
        Self { sponsor: true, ..self }
    }

    const fn scoped(self) -> Self {
        Self { scoped: true, ..self }
    }

    const fn stopping(self) -> Self {
        Self { stops: true, ..self }
    }

    const fn reading(self) -> Self {
        Self { work: Work::Reads, ..self }
    }

    const fn waiting(self) -> Self {
        Self { kind: CallKind::Wait, work: Work::Other, ..self }
    }

    const fn streamed(self) -> Self {
        Self { kind: CallKind::Stream, work: Work::Other, ..self }
    }

    const fn working(self) -> Self {
        Self { work: Work::Other, ..self }
    }

    /// Whether it only reads what is stored.
    pub(crate) fn reads(&self) -> bool {
        self.work == Work::Reads
    }

    /// Whether `who` may call this method. A refusal for want of a role names the roles that may.
    pub(crate) fn permit(&self, who: Requester<'_>) -> Result<(), Error> {
        match (self.access, who) {
            (Access::Open, _) | (Access::Authenticated, Requester::Operator(_)) => Ok(()),
            (_, Requester::Unauthenticated) => {
                Err(Error::Unauthenticated { message: "this method requires a credential".to_owned() })
            }
            (Access::Authenticated, Requester::Instance(ensure_live)) => ensure_live(),
            (Access::Granted { roles, .. }, Requester::Operator(held)) if held.meets(roles) || self.sponsor => Ok(()),
            (Access::Granted { roles, .. }, Requester::Operator(_)) => {
                Err(self.refusal(roles, "none of the caller's roles allows"))
            }
            (Access::Granted { roles, instance }, Requester::Instance(ensure_live)) => match instance {
                Instance::Never => Err(self.refusal(roles, "an instance may not call")),
                Instance::Live => ensure_live(),
                Instance::Recorded | Instance::Reporting => Ok(()),
            },
        }
    }

    /// The basis on which an operator with these roles may call this method, where they may.
    const fn basis(&self, held: Roles) -> AccessBasis {
        match self.access {
            Access::Granted { roles, .. } if self.sponsor && !held.meets(roles) => AccessBasis::OwnerOnly(roles),
            _ => AccessBasis::Role,
        }
    }

    /// What a verb is handed of a caller whom [`Self::permit`] let through: who calls, and on what basis.
    pub(crate) fn authorized(&self, caller: Caller) -> Authorized {
        let basis = caller.operator().map_or(AccessBasis::Role, |operator| self.basis(operator.roles));
        Authorized::new(caller, basis)
    }

    /// What callers of this method authenticate for.
    pub(crate) const fn purpose(&self) -> Purpose {
        match self.access {
            Access::Granted { instance: Instance::Reporting, .. } => Purpose::Reporting,
            _ => Purpose::Acting,
        }
    }

    /// Refuses an operator whose key is for some tools or sponsors, where that bounds nothing of this method.
    pub(crate) fn permit_scope(&self, operator: &OperatorCaller) -> Result<(), Error> {
        if self.scoped { Ok(()) } else { operator.outside(&format!("it may not call {}", self.name())) }
    }

    fn name(&self) -> &'static str {
        self.method.rsplit('/').next().unwrap_or(self.method)
    }

    fn refusal(&self, roles: Roles, why: &str) -> Error {
        let name = self.name();
        let names: Vec<_> = roles.iter().map(OperatorRole::as_str).collect();
        Error::RoleRequired {
            message: format!("{why} {name}; it takes one of: {}", names.join(", ")),
            roles: roles.iter().collect(),
        }
    }
}

/// The row of a path.
pub(crate) fn row(path: &str) -> Option<&'static Row> {
    static ROWS: LazyLock<HashMap<&str, &Row>> =
        LazyLock::new(|| TABLE.iter().chain(ADDED).map(|row| (row.method, row)).collect());
    ROWS.get(path).copied()
}
