//! Who may call a method, by its row of the table: roles, the sponsor without a role, instances with a live, expired or
//! revoked credential, and keys that are limited to tools or sponsors. Whether a method stops, reads, waits or streams;
//! the longest wait for a person (`LONGEST_WAIT`).

mod table;
#[cfg(test)]
pub(crate) mod tests;

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use countersign_app::{AccessBasis, Authorized, Caller, Error, OperatorCaller, Purpose};
use countersign_core::operator::{OperatorRole, Roles};

pub(crate) use table::TABLE;
#[cfg(test)]
use tests::ADDED;

/// Rows that are added to the table in tests only.
#[cfg(not(test))]
const ADDED: &[Row] = &[];

/// One method, and who may call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// The path, `/countersign.v1.SponsorService/RegisterSponsor`.
    pub(crate) method: &'static str,
    /// Who may call it.
    pub(crate) access: Access,
    /// Whether an operator may call it as the sponsor, without one of the roles. The verb checks who the sponsor is.
    /// This is true only for methods that stop something, and for those around the answer that a policy asks the
    /// sponsor for.
    pub(crate) sponsor: bool,
    /// How long its calls may last.
    pub(crate) kind: CallKind,
    /// Whether it stops something. Such calls have separate permits, connections and rates.
    pub(crate) stops: bool,
    /// What it is for.
    pub(crate) work: Work,
    /// Whether a key that is limited to some tools or sponsors may call it: the verb applies the limit, or the method
    /// concerns no other tools and sponsors.
    pub(crate) scoped: bool,
}

/// What a method is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// It changes what others may do, or the configuration; refusals of it are recorded.
    Administers,
    /// It only reads what is stored. The number of such calls at a time is limited per caller.
    Reads,
    /// It asks, reports or waits, and changes no configuration.
    Other,
}

/// How long calls of a method may last, and so which calls share a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallKind {
    /// As long as a request may take.
    Request,
    /// Up to [`LONGEST_WAIT`] longer, because it waits for a person.
    Wait,
    /// As long as its caller wants: the answer is a stream.
    Stream,
}

/// The longest that a method waits for a person.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Every caller, without authentication. Health and reflection only: they return nothing that is not public.
    Open,
    /// Every authenticated caller: any operator, and any instance whose credential is live.
    Authenticated,
    /// Operators with one of these roles, and instances as `instance` says.
    Granted {
        /// One of them is sufficient.
        roles: Roles,
        /// Whether an instance may call it for itself and its chain. The verb checks which instances belong to it.
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
    /// Even if its credential has expired or is revoked: the verb refuses the call and records the refusal.
    Recorded,
    /// The same, up to a day after its credential's end: what it reports is evidence, and allows nothing.
    Reporting,
}

/// The party that calls.
pub(crate) enum Requester<'a> {
    /// A caller who is not authenticated.
    Unauthenticated,
    /// An operator, with their roles.
    Operator(Roles),
    /// An instance, with a function that returns an error if its credential is not live.
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

    /// Whether `who` may call this method. A refusal because of a missing role names the roles that
    /// may.
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

    /// The basis on which an operator with these roles may call this method.
    const fn basis(&self, held: Roles) -> AccessBasis {
        match self.access {
            Access::Granted { roles, .. } if self.sponsor && !held.meets(roles) => AccessBasis::OwnerOnly(roles),
            _ => AccessBasis::Role,
        }
    }

    /// What a verb receives about a caller that [`Self::permit`] let through: the caller, and the basis.
    pub(crate) fn authorized(&self, caller: Caller) -> Authorized {
        let basis = caller.operator().map_or(AccessBasis::Role, |operator| self.basis(operator.roles));
        Authorized::new(caller, basis)
    }

    /// The purpose for which callers of this method authenticate.
    pub(crate) const fn purpose(&self) -> Purpose {
        match self.access {
            Access::Granted { instance: Instance::Reporting, .. } => Purpose::Reporting,
            _ => Purpose::Acting,
        }
    }

    /// Refuses an operator whose key is limited to some tools or sponsors, if this method does not apply such a limit.
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
