//! The part of one call's context that the custody log contains: marked attributes that the call has and that match the
//! declarations.

use crate::{
    compiled::CompiledPolicy,
    context::Value,
    evaluation::Request,
    recorded::{Recorded, RecordedAttribute, RecordedValue},
};

impl CompiledPolicy {
    /// The part of the call's context that the custody log contains if this policy answers: the attributes that the
    /// document marks `record: true`, that the call has and that match the declarations, sorted by name, at most 16.
    /// Costs nothing if the document marks none.
    #[must_use]
    pub fn recorded_context<'a>(&'a self, request: &Request<'a>) -> Vec<RecordedAttribute<'a>> {
        let of_tool = self.recorded.iter().filter(|one| one.is_for(Some(request.tool)));
        let value = |one: &'a Recorded| {
            let value = request.context.at(&one.path)?;
            let fits = one.attribute.kind.holds(value) && one.attribute.lists(value);
            let value = match value {
                Value::Bool(value) => RecordedValue::Bool(*value),
                Value::Long(value) => RecordedValue::Long(*value),
                Value::Text(word) => RecordedValue::Word(word),
                Value::Set(_) | Value::Record(_) => return None,
            };
            fits.then_some(RecordedAttribute { name: &one.name, value })
        };
        of_tool.filter_map(value).collect()
    }
}
