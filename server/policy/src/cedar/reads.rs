//! Which attributes of the context the conditions read, and what each use shows about their types.

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, UnaryOp, Var};

use super::types::{BOOL, ContextTypes, Kind, LONG, Path, Read, STRING};
use crate::schema::Scalar;

/// Every use of the context in a policy's conditions.
///
/// `attributes` returns the types of the principal's and the resource's attributes, if they are known.
pub(crate) fn reads(clauses: &[Clause], known: &ContextTypes<'_>, attributes: &Attributes<'_>) -> Vec<Read> {
    let mut visitor = Visitor { known, attributes, reads: Vec::new() };
    for clause in clauses {
        let (Clause::When(expr) | Clause::Unless(expr)) = clause;
        visitor.visit(expr, Some(BOOL));
    }
    visitor.reads
}

/// The type of an attribute of the principal or the resource.
pub(crate) type Attributes<'a> = dyn Fn(&Var, &str) -> Option<Kind> + 'a;

struct Visitor<'k> {
    known: &'k ContextTypes<'k>,
    attributes: &'k Attributes<'k>,
    reads: Vec<Read>,
}

impl Visitor<'_> {
    /// Visits an expression that must have the type `want`.
    fn visit(&mut self, expr: &Expr, want: Option<Kind>) {
        if let Some(path) = context_path(expr) {
            self.reads.push(Read { path, kind: want, presence: false });
            return;
        }
        match expr {
            Expr::UnaryOp { op, expr } => self.visit(expr, Some(operand(*op))),
            Expr::BinaryOp { op, left, right } => {
                let (want_left, want_right) = self.operands(*op, left, right);
                self.visit(left, want_left);
                self.visit(right, want_right);
            }
            Expr::GetAttr { expr, .. } => self.visit(expr, None),
            Expr::HasAttr { expr, attrs } => match context_path(expr) {
                Some(mut path) => {
                    path.extend(attrs.iter().map(ToString::to_string));
                    self.reads.push(Read { path, kind: None, presence: true });
                }
                None => self.visit(expr, None),
            },
            Expr::Like { expr, .. } => self.visit(expr, Some(STRING)),
            Expr::Is { expr, in_expr, .. } => {
                self.visit(expr, None);
                if let Some(expr) = in_expr {
                    self.visit(expr, None);
                }
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                self.visit(cond, Some(BOOL));
                let want = want.or_else(|| self.kind_of(then_expr)).or_else(|| self.kind_of(else_expr));
                self.visit(then_expr, want);
                self.visit(else_expr, want);
            }
            Expr::Set(items) => {
                let item = element(want).or_else(|| element(self.kind_of(expr)));
                for expr in items {
                    self.visit(expr, item);
                }
            }
            Expr::Record(fields) => {
                for expr in fields.values() {
                    self.visit(expr, None);
                }
            }
            _ => {}
        }
    }

    /// The types that the operator requires on its left and right.
    fn operands(&self, op: BinaryOp, left: &Expr, right: &Expr) -> (Option<Kind>, Option<Kind>) {
        match op {
            BinaryOp::And | BinaryOp::Or => (Some(BOOL), Some(BOOL)),
            BinaryOp::Less
            | BinaryOp::LessEq
            | BinaryOp::Greater
            | BinaryOp::GreaterEq
            | BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul => (Some(LONG), Some(LONG)),
            BinaryOp::Eq | BinaryOp::NotEq => (self.kind_of(right), self.kind_of(left)),
            BinaryOp::Contains => (Some(Kind::Set(scalar(self.kind_of(right)))), element(self.kind_of(left))),
            BinaryOp::ContainsAll | BinaryOp::ContainsAny => {
                let of = |expr| Some(Kind::Set(scalar(element(self.kind_of(expr)))));
                (of(right), of(left))
            }
            BinaryOp::GetTag | BinaryOp::HasTag => (None, Some(STRING)),
            _ => (None, None),
        }
    }

    /// The type of an expression, if it can be told without Cedar.
    fn kind_of(&self, expr: &Expr) -> Option<Kind> {
        if let Some(path) = context_path(expr) {
            return self.known.kind(&path);
        }
        match expr {
            Expr::Literal(Literal::Long(_))
            | Expr::UnaryOp { op: UnaryOp::Neg, .. }
            | Expr::BinaryOp { op: BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul, .. } => Some(LONG),
            Expr::Literal(Literal::String(_)) | Expr::BinaryOp { op: BinaryOp::GetTag, .. } => Some(STRING),
            Expr::BinaryOp { op: BinaryOp::Offset | BinaryOp::DurationSince, .. } => None,
            Expr::Literal(Literal::Bool(_))
            | Expr::UnaryOp { op: UnaryOp::Not | UnaryOp::IsEmpty, .. }
            | Expr::BinaryOp { .. }
            | Expr::Like { .. }
            | Expr::Is { .. }
            | Expr::HasAttr { .. } => Some(BOOL),
            Expr::GetAttr { expr, attr } => match &**expr {
                Expr::Var(var) => (self.attributes)(var, attr),
                _ => None,
            },
            Expr::IfThenElse { then_expr, else_expr, .. } => {
                self.kind_of(then_expr).or_else(|| self.kind_of(else_expr))
            }
            Expr::Set(items) => Some(Kind::Set(items.iter().find_map(|item| scalar(self.kind_of(item))))),
            _ => None,
        }
    }
}

/// The type that a function or prefix operator requires.
const fn operand(op: UnaryOp) -> Kind {
    match op {
        UnaryOp::Not => BOOL,
        UnaryOp::Neg => LONG,
        UnaryOp::IsEmpty => Kind::Set(None),
        // The constructors take text. So do all other operators with regard to the context, because it holds no
        // addresses or dates, only text of them; Cedar's error message then says what is missing.
        _ => STRING,
    }
}

const fn scalar(kind: Option<Kind>) -> Option<Scalar> {
    match kind {
        Some(Kind::One(scalar)) => Some(scalar),
        _ => None,
    }
}

fn element(kind: Option<Kind>) -> Option<Kind> {
    match kind {
        Some(Kind::Set(Some(scalar))) => Some(Kind::One(scalar)),
        _ => None,
    }
}

fn context_path(expr: &Expr) -> Option<Path> {
    match expr {
        Expr::Var(Var::Context) => Some(Path::new()),
        Expr::GetAttr { expr, attr } => {
            let mut path = context_path(expr)?;
            path.push(attr.to_string());
            Some(path)
        }
        _ => None,
    }
}
