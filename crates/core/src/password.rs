//! Which passwords are refused: any characters are allowed, nothing is trimmed or changed, and
//! what is made only of words that everybody tries first is no secret.

use crate::rule::Rule;

/// In characters.
pub const SHORTEST: usize = 15;
/// In bytes.
pub const LONGEST: usize = 1_024;

/// Shorter pieces than this are too ambiguous to be called words.
const PIECE: usize = 3;
/// A run of digits up to this length, such as a year, makes a common password no better.
const DIGITS: usize = 4;

/// Words and sequences that the lists of leaked passwords are made of, and words of this hub.
const COMMON: &str = include_str!("common_words.txt");

/// The rule that a new password breaks, if any. `names` are those of the person.
pub fn check<'n>(password: &str, names: impl Iterator<Item = &'n str>) -> Option<Rule> {
    if password.chars().count() < SHORTEST {
        return Some(Rule::PasswordTooShort);
    }
    if password.len() > LONGEST {
        return Some(Rule::PasswordTooLong);
    }
    let names: Vec<String> = names.map(str::to_lowercase).collect();
    is_made_of(&password.to_lowercase(), &names).then_some(Rule::PasswordTooCommon)
}

/// Can the whole text be cut into common words, names, sequences, repetitions, short runs of
/// digits and punctuation?
fn is_made_of(text: &str, names: &[String]) -> bool {
    let bytes = text.as_bytes();
    let words: Vec<&str> = COMMON
        .lines()
        .filter(|line| !line.starts_with('#'))
        .chain(names.iter().map(String::as_str))
        .filter(|word| word.len() >= PIECE)
        .collect();
    // reach[n]: the first n bytes can be cut.
    let mut reach = vec![false; bytes.len() + 1];
    reach[0] = true;
    for at in 0..bytes.len() {
        if !reach[at] {
            continue;
        }
        let rest = &bytes[at..];
        if rest[0].is_ascii_punctuation() || rest[0].is_ascii_whitespace() {
            reach[at + 1] = true;
        }
        for length in 1..=digits(rest) {
            reach[at + length] = true;
        }
        for length in PIECE..=sequence(rest) {
            reach[at + length] = true;
        }
        for word in &words {
            if rest.starts_with(word.as_bytes()) {
                reach[at + word.len()] = true;
            }
        }
        // What came just before, once more.
        for length in PIECE..=at.min(rest.len()) {
            if bytes[at - length..at] == rest[..length] && length * 3 <= bytes.len() {
                reach[at + length] = true;
            }
        }
    }
    reach[bytes.len()] || is_repetition(bytes)
}

fn digits(rest: &[u8]) -> usize {
    rest.iter().take(DIGITS).take_while(|b| b.is_ascii_digit()).count()
}

/// The length of `aaaa`, `abcd` or `4321` at the start.
fn sequence(rest: &[u8]) -> usize {
    let step = |pair: &[u8]| i16::from(pair[1]) - i16::from(pair[0]);
    let Some(first) = rest.windows(2).next().map(step).filter(|step| step.abs() <= 1) else {
        return 1;
    };
    1 + rest.windows(2).take_while(|pair| step(pair) == first).count()
}

/// Is it a unit of at most a third of its length again and again?
fn is_repetition(bytes: &[u8]) -> bool {
    let repeats =
        |unit: usize| bytes[unit..].iter().zip(bytes).all(|(here, before)| here == before);
    (1..=bytes.len() / 3).any(repeats)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(password: &str) -> Option<Rule> {
        check(password, ["ada.lovelace", "Countess"].into_iter())
    }

    #[test]
    fn length_counts_characters_and_bytes() {
        assert_eq!(refused("fourteen chars"), Some(Rule::PasswordTooShort));
        assert_eq!(refused("ünïcödé chäræct"), None);
        assert_eq!(refused(&"glimpse-".repeat(129)), Some(Rule::PasswordTooLong));
    }

    #[test]
    fn any_characters_are_allowed_and_nothing_is_trimmed() {
        for good in [
            "tangible orchard 42 sings",
            "   spaces around kiwi   ",
            "nul \0 and bell \u{7} ok",
            "Tr0ub4dor&3Tr0ub4d",
            "correct mule axle paperclip",
        ] {
            assert_eq!(refused(good), None, "{good}");
        }
    }

    #[test]
    fn what_everybody_tries_first_is_refused() {
        for bad in [
            "passwordpassword",
            "Password12345678",
            "qwertyuiopasdfgh",
            "123456789012345",
            "aaaaaaaaaaaaaaaaaaaa",
            "abcabcabcabcabcabc",
            "xk7xk7xk7xk7xk7xk7",
            "Muster-Muster-2026",
            "Ada.Lovelace2026!!",
            "countess countess 1",
            "AdminAdminAdmin!1",
            "letmein welcome 123",
        ] {
            assert_eq!(refused(bad), Some(Rule::PasswordTooCommon), "{bad}");
        }
    }

    #[test]
    fn the_longest_password_is_judged_quickly() {
        let begun = std::time::Instant::now();
        refused(&"ab1".repeat(341));
        assert!(begun.elapsed().as_millis() < 500);
    }
}
