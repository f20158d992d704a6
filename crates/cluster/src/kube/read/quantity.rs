//! Amounts as Kubernetes writes them: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use muster_core::Amounts;
use muster_core::resources::NOT_COUNTED;

/// What is asked for or there, by the names of resources.
///
/// # Errors
///
/// Which one cannot be read.
pub fn amounts(of: &BTreeMap<String, Quantity>) -> Result<Amounts, String> {
    let mut amounts = Amounts::default();
    for (name, quantity) in of {
        let (name, amount) = named(name, quantity)?;
        amounts.set(name, amount);
    }
    Ok(amounts)
}

/// One of them, under the name that it has in [`Amounts`]: thousandths of a core, or whole ones rounded up.
///
/// # Errors
///
/// What cannot be read.
pub fn named<'n>(name: &'n str, quantity: &Quantity) -> Result<(&'n str, u64), String> {
    let thousandths = thousandths(&quantity.0)
        .ok_or_else(|| format!("{:?} of {name} is no amount", short(&quantity.0)))?;
    Ok(match name {
        "cpu" => (name, fit(thousandths)),
        "ephemeral-storage" => ("storage", fit(thousandths.div_ceil(1000))),
        // The names of our own stand for what Kubernetes calls otherwise.
        "storage" => ("requests.storage", fit(thousandths.div_ceil(1000))),
        name => (name, fit(thousandths.div_ceil(1000))),
    })
}

fn fit(amount: u128) -> u64 {
    u64::try_from(amount).unwrap_or(u64::MAX).min(NOT_COUNTED)
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Rounded up; less than nothing is nothing.
fn thousandths(text: &str) -> Option<u128> {
    let (is_negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let (binary, decimal) = scale(suffix)?;
    if is_negative {
        return Some(0);
    }
    // More digits than this are beyond the largest amount, or below the smallest.
    let fraction = &fraction[..fraction.len().min(12)];
    let digits: u128 = match whole.trim_start_matches('0').len() {
        0..=20 => format!("{whole}{fraction}").parse().ok()?,
        _ => u128::from(u64::MAX),
    };
    let exponent = decimal + 3 - fraction.len() as i32;
    let scaled = digits.saturating_mul(1 << binary);
    let by = 10u128.saturating_pow(exponent.unsigned_abs().min(38));
    Some(if exponent < 0 { scaled.div_ceil(by) } else { scaled.saturating_mul(by) })
}

/// How often doubled, and the power of ten.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (0, exponent.clamp(-40, 40))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Option<u64> {
        named(name, &Quantity(text.to_owned())).ok().map(|(_, amount)| amount)
    }

    #[test]
    fn amounts_are_read_in_all_their_forms() {
        for (text, cores) in [
            ("1", 1000),
            ("0.1", 100),
            ("100m", 100),
            ("1.5", 1500),
            (".5", 500),
            ("2.", 2000),
            ("1e3", 1_000_000),
            ("5E-1", 500),
            ("100n", 1),
            ("1500u", 2),
            ("+3", 3000),
            ("-3", 0),
            ("0", 0),
        ] {
            assert_eq!(read("cpu", text), Some(cores), "{text}");
        }
        for (text, bytes) in [
            ("1Gi", 1 << 30),
            ("1.5Gi", 3 << 29),
            ("500M", 500_000_000),
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("128974848000m", 128_974_848),
            ("1Ei", NOT_COUNTED),
            ("99999999999999999999999999999", NOT_COUNTED),
            ("1e999", NOT_COUNTED),
            ("1001m", 2),
        ] {
            assert_eq!(read("memory", text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for bad in ["", "a", "1.2.3", "1 Gi", "1gi", "--1", "e3", "1e", ".", "-", "1Gi1", "½"] {
            assert_eq!(read("memory", bad), None, "{bad}");
        }
        let both = BTreeMap::from([("cpu".to_owned(), Quantity("two".to_owned()))]);
        assert_eq!(amounts(&both).expect_err("no amount"), "\"two\" of cpu is no amount");
    }
}
