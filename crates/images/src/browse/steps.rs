//! Which instruction made which layer.

use crate::Image;

/// An instruction of the image's history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// RFC 3339.
    pub created: Option<String>,
    /// The command.
    pub created_by: String,
    /// A remark of the builder.
    pub comment: String,
}

impl Image {
    /// The instruction of each layer, lowest first; nothing where the history does not reach.
    #[must_use]
    pub fn layer_steps(&self) -> Vec<Option<Step>> {
        let history = self.config.history().iter().flatten();
        let mut steps = history.filter(|step| !step.empty_layer().unwrap_or(false)).map(|step| Step {
            created: step.created().clone(),
            created_by: step.created_by().clone().unwrap_or_default(),
            comment: step.comment().clone().unwrap_or_default(),
        });
        self.layers.iter().map(|_| steps.next()).collect()
    }
}
