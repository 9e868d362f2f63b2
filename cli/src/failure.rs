//! How a command ends when it does not end well.

/// Why a command ended early.
#[derive(Debug)]
pub enum Failure {
    /// The command line cannot be carried out as given: exit status 2.
    Usage(String),
    /// Something went wrong on the way: exit status 1.
    Failed(String),
    /// The user pressed Ctrl-C: exit status 130.
    Interrupted,
}

/// Result of a command or a part of it.
pub type Outcome<T = ()> = Result<T, Failure>;

impl From<sda::Error> for Failure {
    fn from(error: sda::Error) -> Failure {
        match error {
            sda::Error::Cancelled => Failure::Interrupted,
            // A setting that came from the command line and was found out of range later.
            sda::Error::Param { .. } => Failure::Usage(error.to_string()),
            other => Failure::Failed(other.to_string()),
        }
    }
}

/// What a failure says.
pub fn message(failure: &Failure) -> &str {
    match failure {
        Failure::Usage(text) | Failure::Failed(text) => text,
        Failure::Interrupted => "interrupted",
    }
}
