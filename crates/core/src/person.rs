//! Who has an account: what its values must be, and what it may do.

use std::fmt;
use std::str::FromStr;

use crate::password;
use crate::rule::Rule;

/// Lengths in characters, as they also stand in the API's description.
pub const NAME_LENGTH: (usize, usize) = (3, 32);
pub const PERSONAL_NAME_LENGTH: usize = 100;
pub const EMAIL_LENGTH: usize = 254;

/// What an account may do beside what everybody may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// May administer people and models, and see what they did.
    Admin,
    /// May administer models.
    ModelEditor,
}

impl Permission {
    pub const ALL: [Self; 2] = [Self::Admin, Self::ModelEditor];

    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "ADMIN",
            Self::ModelEditor => "MODEL_EDITOR",
        }
    }
}

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|known| known.name() == name).ok_or(UnknownPermission)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such permission")]
pub struct UnknownPermission;

/// What a person gives to get an account. `None`: it was not given.
#[derive(Clone, Copy, Debug, Default)]
pub struct SignUp<'v> {
    pub name: Option<&'v str>,
    pub first_name: Option<&'v str>,
    pub last_name: Option<&'v str>,
    pub email: Option<&'v str>,
    pub password: Option<&'v str>,
}

/// A value that breaks a rule; `field` is its name in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    pub field: &'static str,
    pub rule: Rule,
}

impl SignUp<'_> {
    /// Every rule that the values break, in the order of the fields.
    pub fn broken(&self) -> Vec<Broken> {
        let password = |value: &str| password::check(value, self.names());
        let fields = [
            ("name", check(self.name, check_name)),
            ("first_name", check(self.first_name, check_personal_name)),
            ("last_name", check(self.last_name, check_personal_name)),
            ("email", check(self.email, check_email)),
            ("password", check(self.password, password)),
        ];
        let broken =
            fields.into_iter().filter_map(|(field, rule)| Some(Broken { field, rule: rule? }));
        broken.collect()
    }

    /// Words that an attacker who knows the person would try.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let email = self.email.unwrap_or_default().split(['@', '.', '+']);
        [self.name, self.first_name, self.last_name].into_iter().flatten().chain(email)
    }
}

fn check(value: Option<&str>, rule: impl Fn(&str) -> Option<Rule>) -> Option<Rule> {
    match value {
        None | Some("") => Some(Rule::Missing),
        Some(value) => rule(value),
    }
}

fn check_name(name: &str) -> Option<Rule> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let good = (NAME_LENGTH.0..=NAME_LENGTH.1).contains(&name.len())
        && name.bytes().all(fits)
        && name.as_bytes()[0].is_ascii_alphanumeric();
    (!good).then_some(Rule::BadName)
}

/// A first or last name.
pub fn check_personal_name(name: &str) -> Option<Rule> {
    let good = name.chars().count() <= PERSONAL_NAME_LENGTH
        && !name.chars().any(char::is_control)
        && !name.trim().is_empty();
    (!good).then_some(Rule::BadPersonalName)
}

/// What mail can be sent to: one `@`, no spaces, a host with a dot or `localhost`. Whether somebody
/// reads it is found out by sending something.
pub fn check_email(email: &str) -> Option<Rule> {
    let good = email.split_once('@').is_some_and(|(local, host)| {
        let label = |label: &str| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            (1..=63).contains(&label.len())
                && label.bytes().all(fits)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let atom = |b: u8| b.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&b);
        (1..=64).contains(&local.len())
            && local.bytes().all(atom)
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..")
            && (host.contains('.') || host == "localhost")
            && host.split('.').all(label)
    });
    (!good || email.len() > EMAIL_LENGTH).then_some(Rule::BadEmail)
}

/// User names and addresses that differ in case only are the same.
pub fn key(text: &str) -> String {
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> SignUp<'static> {
        SignUp {
            name: Some("ada"),
            first_name: Some("Ada"),
            last_name: Some("Lovelace"),
            email: Some("ada@example.org"),
            password: Some("tangible orchard 42 sings"),
        }
    }

    #[test]
    fn good_values_break_nothing() {
        assert_eq!(ada().broken(), []);
    }

    #[test]
    fn all_broken_rules_are_reported_together() {
        let none = SignUp::default().broken();
        let fields: Vec<&str> = none.iter().map(|broken| broken.field).collect();
        assert_eq!(fields, ["name", "first_name", "last_name", "email", "password"]);
        assert!(none.iter().all(|broken| broken.rule == Rule::Missing));
        let bad = SignUp {
            name: Some("-x y"),
            first_name: Some("\u{7}"),
            last_name: Some(" "),
            email: Some("ada"),
            password: Some("short"),
        };
        let rules: Vec<Rule> = bad.broken().iter().map(|broken| broken.rule).collect();
        let personal = Rule::BadPersonalName;
        assert_eq!(
            rules,
            [Rule::BadName, personal, personal, Rule::BadEmail, Rule::PasswordTooShort]
        );
    }

    #[test]
    fn addresses_are_what_mail_can_be_sent_to() {
        for good in ["a@b.c", "first.last+tag@sub.example.org", "root@localhost", "x'y@a-b.de"] {
            assert_eq!(check_email(good), None, "{good}");
        }
        let long = format!("a@{}.org", "b".repeat(64));
        for bad in [
            "",
            "a",
            "@b.c",
            "a@",
            "a@b",
            "a b@c.d",
            "a@b..c",
            "a@-b.c",
            "a@b.c\n",
            "a\0@b.c",
            ".a@b.c",
            "a..b@c.d",
            "a@b@c.d",
            "ä@b.c",
            "a@b.c,d@e.f",
            "<a@b.c>",
            &long,
        ] {
            assert_eq!(check_email(bad), Some(Rule::BadEmail), "{bad}");
        }
    }

    #[test]
    fn user_names_are_plain() {
        for good in ["ada", "A.da_1-x", "0xx"] {
            assert_eq!(check_name(good), None, "{good}");
        }
        for bad in ["ab", "-ada", "a da", "ada\0", "ädä", &"x".repeat(33)] {
            assert_eq!(check_name(bad), Some(Rule::BadName), "{bad}");
        }
    }
}
