//! The path of the place a walk is at: one buffer that grows and shrinks, so
//! that walking a valid object allocates nothing per field.

/// A dotted path such as `spec.containers[0].name`.
#[derive(Debug, Default)]
pub(super) struct Path {
    text: String,
}

/// How long a path was before a step.
pub(super) struct Mark(usize);

impl Path {
    /// Steps into a member of a map.
    pub(super) fn key(&mut self, name: &str) -> Mark {
        let mark = Mark(self.text.len());
        if !self.text.is_empty() {
            self.text.push('.');
        }
        self.text.push_str(name);
        mark
    }

    /// Steps into an item of a list.
    pub(super) fn index(&mut self, position: usize) -> Mark {
        let mark = Mark(self.text.len());
        self.text.push('[');
        self.text.push_str(&position.to_string());
        self.text.push(']');
        mark
    }

    /// Steps into a member of a map whose keys nothing declares.
    pub(super) fn entry(&mut self, key: &str) -> Mark {
        let mark = Mark(self.text.len());
        self.text.push('[');
        self.text.push_str(key);
        self.text.push(']');
        mark
    }

    /// Steps back to where `mark` was taken.
    pub(super) fn back(&mut self, mark: &Mark) {
        self.text.truncate(mark.0);
    }

    /// The path so far.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The path of a member of this place.
    pub(super) fn child(&self, name: &str) -> String {
        if self.text.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.text)
        }
    }
}
