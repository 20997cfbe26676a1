//! The paths of AuthZEN's endpoints, and the method of the contract for each.

/// One of AuthZEN's endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Evaluation,
    Evaluations,
    SearchAction,
}

impl Endpoint {
    pub(super) const ALL: [Self; 3] = [Self::Evaluation, Self::Evaluations, Self::SearchAction];

    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Evaluation => "/access/v1/evaluation",
            Self::Evaluations => "/access/v1/evaluations",
            Self::SearchAction => "/access/v1/search/action",
        }
    }

    /// The method of the contract that this endpoint calls, or whose authorisation it uses.
    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Evaluation | Self::SearchAction => "/countersign.v1.DecisionService/Decide",
            Self::Evaluations => "/countersign.v1.DecisionService/BatchDecide",
        }
    }
}
