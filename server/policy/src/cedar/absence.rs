//! Finds the attributes whose presence conditions test (`has`), and deny rules that do not apply if such an attribute
//! is missing.

use std::collections::BTreeSet;

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, UnaryOp, Var};

use super::types::Path;

/// What a path starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Root {
    Principal,
    Action,
    Resource,
    Context,
}

impl Root {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Action => "action",
            Self::Resource => "resource",
            Self::Context => "context",
        }
    }
}

/// A path whose presence a condition tests, and where it starts: `principal.address.street`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(crate) root: Root,
    pub(crate) path: Path,
}

/// All paths whose presence the conditions test.
pub(crate) fn asked(clauses: &[Clause]) -> BTreeSet<Asked> {
    let mut asked = BTreeSet::new();
    for clause in clauses {
        let (Clause::When(expr) | Clause::Unless(expr)) = clause;
        collect(expr, &mut asked);
    }
    asked
}

fn collect(expr: &Expr, asked: &mut BTreeSet<Asked>) {
    asked.extend(presence(expr));
    for inner in children(expr) {
        collect(inner, asked);
    }
}

/// The direct subexpressions of an expression.
pub(crate) fn children(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::UnaryOp { expr, .. }
        | Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. } => {
            vec![expr]
        }
        Expr::BinaryOp { left, right, .. } => vec![left, right],
        Expr::Is { expr, in_expr, .. } => std::iter::once(&**expr).chain(in_expr.as_deref()).collect(),
        Expr::IfThenElse { cond, then_expr, else_expr } => vec![cond, then_expr, else_expr],
        Expr::Set(items) => items.iter().map(AsRef::as_ref).collect(),
        Expr::Record(fields) => fields.values().map(AsRef::as_ref).collect(),
        _ => Vec::new(),
    }
}

/// The path whose presence `expr` tests, if it is such a test.
pub(crate) fn presence(expr: &Expr) -> Option<Asked> {
    let Expr::HasAttr { expr, attrs } = expr else { return None };
    let mut asked = path(expr)?;
    asked.path.extend(attrs.iter().map(ToString::to_string));
    Some(asked)
}

/// `context.a.b` as its variable and names.
fn path(expr: &Expr) -> Option<Asked> {
    let whole = |root| Some(Asked { root, path: Path::new() });
    match expr {
        Expr::Var(Var::Principal) => whole(Root::Principal),
        Expr::Var(Var::Action) => whole(Root::Action),
        Expr::Var(Var::Resource) => whole(Root::Resource),
        Expr::Var(Var::Context) => whole(Root::Context),
        Expr::GetAttr { expr, attr } => {
            let mut holder = path(expr)?;
            holder.path.push(attr.to_string());
            Some(holder)
        }
        _ => None,
    }
}

/// Whether a policy with these conditions cannot apply if `absent` is missing.
pub(crate) fn switched_off(clauses: &[Clause], absent: &Asked) -> bool {
    clauses.iter().any(|clause| match clause {
        Clause::When(expr) => known(expr, absent) == Some(false),
        Clause::Unless(expr) => known(expr, absent) == Some(true),
    })
}

/// The value of an expression if `absent` is missing, if it follows from that alone. A failure to evaluate denies by
/// itself, so it need not be told apart from a value here.
fn known(expr: &Expr, absent: &Asked) -> Option<bool> {
    match expr {
        Expr::Literal(Literal::Bool(value)) => Some(*value),
        Expr::HasAttr { .. } => {
            let asked = presence(expr)?;
            (asked.root == absent.root && asked.path.starts_with(&absent.path)).then_some(false)
        }
        Expr::UnaryOp { op: UnaryOp::Not, expr } => known(expr, absent).map(|value| !value),
        Expr::BinaryOp { op: BinaryOp::And, left, right } => match (known(left, absent), known(right, absent)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => match (known(left, absent), known(right, absent)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        Expr::IfThenElse { cond, then_expr, else_expr } => match known(cond, absent) {
            Some(true) => known(then_expr, absent),
            Some(false) => known(else_expr, absent),
            None => known(then_expr, absent).filter(|value| known(else_expr, absent) == Some(*value)),
        },
        _ => None,
    }
}
