//! The statements: `.sql` files, each a template in the notation of Jinja.
//!
//! `{% .. %}` and `{{ .. }}` choose the form of a statement: whether there is a range, how many steps. A value that an
//! asker gives never becomes text: `{name:Type}` is a parameter, whose value ClickHouse gets beside the statement.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior};
use tables::derived;

/// What the form of a statement depends on. There is no variant for texts, so no value of an asker gets in.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    Is(bool),
    Count(usize),
    Each(Vec<bool>),
}

/// The statement of a file, in a form.
///
/// # Errors
/// No file of this name; a form that does not say all that the template asks for.
pub(crate) fn statement(file: &str, form: BTreeMap<&'static str, Form>) -> Result<String, minijinja::Error> {
    STATEMENTS.get_template(file)?.render(Value::from(form))
}

static STATEMENTS: LazyLock<Environment> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the same for every start: a test compiles them all")]
    compiled().expect("a statement that is no template")
});

fn compiled() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // A line that has a tag only leaves no line.
    let syntax =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()?;
    environment.set_syntax(syntax);
    for (file, text) in FILES {
        environment.add_template(file, text)?;
    }
    environment.add_template_owned("derived/sequences.sql", derived::sequences(""))?;
    environment.add_template_owned("derived/touched.sql", derived::touched(""))?;
    environment.add_template_owned("derived/usage_days.sql", derived::usage_days(""))?;
    Ok(environment)
}

impl From<Form> for Value {
    fn from(form: Form) -> Self {
        match form {
            Form::Is(holds) => holds.into(),
            Form::Count(count) => count.into(),
            Form::Each(hold) => hold.into(),
        }
    }
}

macro_rules! files {
    ($($file:literal)*) => { &[$(($file, include_str!($file)),)*] };
}

const FILES: &[(&str, &str)] = files! {
    "as_of/epoch.sql" "as_of/log.sql" "as_of/revision.sql" "as_of/sequences.sql" "as_of/there.sql"
    "events/days.sql" "events/export.sql" "events/fate.sql" "events/fate_accepted.sql"
    "events/fate_rejected.sql" "events/list.sql" "events/session.sql" "events/whole_session.sql"
    "feed/news.sql"
    "operations/breaks.sql" "operations/due.sql" "operations/end.sql" "operations/gaps.sql" "operations/overlaps.sql"
    "operations/rejections.sql" "operations/rejections_series.sql" "operations/rejections_summary.sql"
    "operations/tables.sql" "operations/verdicts.sql"
    "ordering/ends.sql" "ordering/flow.sql" "ordering/funnel.sql" "ordering/numbers.sql" "ordering/paths.sql"
    "ordering/precedence.sql" "ordering/retention.sql" "ordering/transitions.sql"
    "ordering/transitions_far.sql" "ordering/whole_sessions.sql"
    "filter.sql" "selected.sql" "wanted.sql"
    "usage/apps.sql" "usage/apps_days.sql" "usage/days.sql" "usage/features.sql" "usage/features_days.sql"
    "usage/features_rows.sql" "usage/is_narrow.sql" "usage/last_seen.sql" "usage/last_seen_days.sql"
    "usage/series.sql" "usage/series_days.sql" "usage/series_rows.sql"
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_is_a_template() {
        compiled().unwrap();
    }

    #[test]
    fn what_a_form_does_not_say_is_no_condition_that_fails() {
        let error = statement("events/list.sql", BTreeMap::new()).unwrap_err();
        assert_eq!(error.kind(), minijinja::ErrorKind::UndefinedError, "{error}");
    }
}
