//! Field managers: through which command a person said something. Each has its own, so that what one
//! command says is not taken for what another has left out, and a conflict tells who had set a field.

/// What files say.
pub(crate) const FILES: &str = "choreo-cli";
/// `choreo deploy`.
pub(crate) const DEPLOY: &str = "choreo-deploy";
/// `choreo promote`.
pub(crate) const PROMOTE: &str = "choreo-promote";
/// `choreo rollback`.
pub(crate) const ROLLBACK: &str = "choreo-rollback";
/// `choreo preview`.
pub(crate) const PREVIEW: &str = "choreo-preview";
/// `choreo api key`.
pub(crate) const API_KEY: &str = "choreo-api-key";
/// `choreo secret`.
pub(crate) const SECRET: &str = "choreo-secret";

/// A field manager as a person knows it.
pub(crate) fn in_words(manager: &str) -> String {
    match manager {
        FILES => "`choreo apply`".to_owned(),
        API_KEY => "`choreo api key`".to_owned(),
        DEPLOY | PROMOTE | ROLLBACK | PREVIEW | SECRET => {
            format!("`{}`", manager.replacen('-', " ", 1))
        }
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_named_as_they_are_typed() {
        assert_eq!(in_words(DEPLOY), "`choreo deploy`");
        assert_eq!(in_words(FILES), "`choreo apply`");
        assert_eq!(in_words("kubectl-edit"), "kubectl-edit");
    }
}
