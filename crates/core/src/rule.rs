//! The rules that the values of an account keep to.

/// A rule for the values of an account. Its slug never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Missing,
    BadName,
    BadPersonalName,
    BadEmail,
    PasswordTooShort,
    PasswordTooLong,
    PasswordTooCommon,
}

impl Rule {
    pub const ALL: [Self; 7] = [
        Self::Missing,
        Self::BadName,
        Self::BadPersonalName,
        Self::BadEmail,
        Self::PasswordTooShort,
        Self::PasswordTooLong,
        Self::PasswordTooCommon,
    ];

    pub fn slug(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::BadName => "bad-name",
            Self::BadPersonalName => "bad-personal-name",
            Self::BadEmail => "bad-email",
            Self::PasswordTooShort => "password-too-short",
            Self::PasswordTooLong => "password-too-long",
            Self::PasswordTooCommon => "password-too-common",
        }
    }

    /// What the rule says, for the person who broke it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Missing => "This is needed.",
            Self::BadName => {
                "A user name has 3 to 32 of a-z, A-Z, 0-9, '.', '_' and '-', and starts with a \
                 letter or digit."
            }
            Self::BadPersonalName => "A name has 1 to 100 characters and no control characters.",
            Self::BadEmail => "This is not an email address.",
            Self::PasswordTooShort => "A password has at least 15 characters.",
            Self::PasswordTooLong => "A password has at most 1,024 bytes.",
            Self::PasswordTooCommon => {
                "A password is not made only of common words, sequences, repetitions, or names of \
                 yours or of this hub. A few unrelated words make a good one."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_their_own() {
        let slugs: std::collections::BTreeSet<_> = Rule::ALL.map(Rule::slug).into();
        assert_eq!(slugs.len(), Rule::ALL.len());
    }
}
