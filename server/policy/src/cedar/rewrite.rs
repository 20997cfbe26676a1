//! Rewrites conditions for Cedar's strict validator: `!a || b` as `if a then b else true`, which has the same meaning.
//!
//! The validator refuses `!(context has x) || context.x > n`, because after a `has` it remembers only what was found,
//! not what was missing. Such a condition is rewritten to `if context has x then context.x > n else true`, which is
//! evaluated in the same steps. The rewritten form is the one that is validated and evaluated.

use std::sync::Arc;

use cedar_policy::{
    Policy,
    pst::{self, BinaryOp, Clause, Expr, Literal, StaticPolicy, UnaryOp},
};

/// The policy with every `!a || b` as `if a then b else true`. `None` if it has none of them.
pub(crate) fn rewritten(policy: &Policy) -> Option<Policy> {
    let pst = policy.to_pst().ok()?;
    let clauses = pst.body().clauses().iter().map(|clause| match clause {
        Clause::When(expr) => Clause::When(rewrite(expr)),
        Clause::Unless(expr) => Clause::Unless(rewrite(expr)),
    });
    let clauses: Vec<_> = clauses.collect();
    if clauses == *pst.body().clauses() {
        return None;
    }
    let body = pst::Template::new(
        pst.body().id.clone(),
        pst.body().effect,
        pst.body().principal.clone(),
        pst.body().action.clone(),
        pst.body().resource.clone(),
    );
    let body = body.try_with_clauses(clauses).ok()?.with_annotations(pst.body().annotations.clone());
    Policy::from_pst(StaticPolicy::try_from(body).ok()?.into()).ok()
}

fn rewrite(expr: &Arc<Expr>) -> Arc<Expr> {
    let new = match &**expr {
        Expr::BinaryOp { op: BinaryOp::Or, left, right } if denies(left) => Expr::IfThenElse {
            cond: rewrite(&negated(left)),
            then_expr: rewrite(right),
            else_expr: Arc::new(Expr::Literal(Literal::Bool(true))),
        },
        Expr::IfThenElse { cond, then_expr, else_expr } if denies(cond) => Expr::IfThenElse {
            cond: rewrite(&negated(cond)),
            then_expr: rewrite(else_expr),
            else_expr: rewrite(then_expr),
        },
        Expr::UnaryOp { op: UnaryOp::Not, expr } if denies(expr) => return rewrite(&negated(expr)),
        Expr::UnaryOp { op, expr } => Expr::UnaryOp { op: *op, expr: rewrite(expr) },
        Expr::BinaryOp { op, left, right } => Expr::BinaryOp { op: *op, left: rewrite(left), right: rewrite(right) },
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            Expr::IfThenElse { cond: rewrite(cond), then_expr: rewrite(then_expr), else_expr: rewrite(else_expr) }
        }
        Expr::Set(items) => Expr::Set(items.iter().map(rewrite).collect()),
        Expr::Record(fields) => Expr::Record(fields.iter().map(|(name, expr)| (name.clone(), rewrite(expr))).collect()),
        _ => return expr.clone(),
    };
    Arc::new(new)
}

/// Whether the expression is `!a`, or an `||` that contains one.
fn denies(expr: &Expr) -> bool {
    match expr {
        Expr::UnaryOp { op: UnaryOp::Not, .. } => true,
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => denies(left) || denies(right),
        _ => false,
    }
}

/// The opposite of `expr`, which evaluates the same parts in the same order.
fn negated(expr: &Arc<Expr>) -> Arc<Expr> {
    match &**expr {
        Expr::UnaryOp { op: UnaryOp::Not, expr } => expr.clone(),
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => {
            Arc::new(Expr::BinaryOp { op: BinaryOp::And, left: negated(left), right: negated(right) })
        }
        _ => Arc::new(Expr::UnaryOp { op: UnaryOp::Not, expr: expr.clone() }),
    }
}
