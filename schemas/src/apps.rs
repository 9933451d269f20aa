//! The registry of applications.

/// The applications that may send events.
#[derive(Debug, Default)]
pub struct Apps {
    names: std::collections::HashSet<String>,
}

impl Apps {
    /// Whether an application of this name is registered.
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

impl<S: Into<String>> FromIterator<S> for Apps {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Self { names: names.into_iter().map(Into::into).collect() }
    }
}
