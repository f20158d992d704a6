//! Quantities of Kubernetes (`250m`, `1.5Gi`, `2e3`), kept in thousandths and rounded up.

use std::fmt;

use serde::{Deserialize, Deserializer, de::Error};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Quantity(pub i128);

impl Quantity {
    pub const fn whole(value: i64) -> Self {
        Self(value as i128 * 1000)
    }

    /// Whole units, rounded up.
    pub fn value(self) -> i128 {
        self.0.div_euclid(1000) + i128::from(self.0.rem_euclid(1000) > 0)
    }

    /// With the largest binary unit that tells it whole: `1Gi`.
    pub fn binary(self) -> String {
        let value = self.value();
        for (unit, bytes) in [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
            if value > 0 && value % bytes == 0 {
                return format!("{}{unit}", value / bytes);
            }
        }
        value.to_string()
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || number.len() > 20 {
            return None;
        }
        let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
        let (up, down) = factor(suffix)?;
        let up = mantissa.checked_mul(up)?.checked_mul(1000)?;
        let down = down.checked_mul(10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?)?;
        let value = up / down + i128::from(up % down > 0);
        Some(Self(if negative { -value } else { value }))
    }
}

fn factor(suffix: &str) -> Option<(i128, i128)> {
    Some(match suffix {
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => {
            let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let ten = 10_i128.checked_pow(power.unsigned_abs())?;
            if power < 0 { (1, ten) } else { (ten, 1) }
        }
    })
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelled {
            Text(String),
            Whole(i64),
            Number(f64),
        }
        let text = match Spelled::deserialize(from)? {
            Spelled::Text(text) => text,
            Spelled::Whole(number) => number.to_string(),
            Spelled::Number(number) => number.to_string(),
        };
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no quantity")))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        if self.0 % 1000 == 0 { write!(to, "{}", self.0 / 1000) } else { write!(to, "{}m", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, thousandths) in [
            ("250m", 250),
            ("1", 1000),
            ("0.5", 500),
            (".5", 500),
            ("1.5Gi", 1_610_612_736_000),
            ("2e3", 2_000_000),
            ("1E", 1_000_000_000_000_000_000_000),
            ("1E2", 100_000),
            ("100n", 1),
            ("12e-1", 1200),
            ("-5", -5000),
        ] {
            assert_eq!(Quantity::parse(text), Some(Quantity(thousandths)), "{text}");
        }
        for text in ["", "x", "1 Gi", "1.2.3", "Gi", "1KiB"] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
        assert_eq!(Quantity(1001).value(), 2);
        assert_eq!(Quantity(1500).to_string(), "1500m");
        for text in ["3Gi", "1536Mi", "7Ki", "1000", "0"] {
            assert_eq!(Quantity::parse(text).unwrap().binary(), text);
        }
    }
}
