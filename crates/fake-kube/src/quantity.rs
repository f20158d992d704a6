//! Amounts as Kubernetes writes them, in thousandths.

/// `500m`, `1`, `1.5`, `1Gi`, `1e3`; [`None`] of anything else.
pub(crate) fn parse(text: &str) -> Option<i128> {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    let end = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c));
    let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
    let power = |all: &[&str]| all.iter().position(|each| *each == suffix);
    let power = |all: &[&str]| power(all).and_then(|at| u32::try_from(at + 1).ok());
    let (factor, divisor) = match suffix {
        "" => (1000, 1),
        "m" => (1, 1),
        "u" => (1, 1000),
        "n" => (1, 1_000_000),
        _ => {
            if let Some(power) = power(&BINARY) {
                (1000 * 1024_i128.pow(power), 1)
            } else if let Some(power) = power(&DECIMAL) {
                (1000 * 1000_i128.pow(power), 1)
            } else {
                let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
                let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
                if exponent < 0 { (1000, power) } else { (1000 * power, 1) }
            }
        }
    };
    let negative = number.starts_with('-');
    let digits = number.trim_start_matches(['+', '-']);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if digits.is_empty() || digits == "." || part.contains('.') {
        return None;
    }
    let scale = 10_i128.checked_pow(u32::try_from(part.len()).ok()?)?;
    let mantissa: i128 = format!("{whole}{part}").parse().ok()?;
    // What is less than a thousandth is one: amounts are rounded up.
    let (above, below) = (mantissa.checked_mul(factor)?, scale.checked_mul(divisor)?);
    let amount = above.checked_add(below - 1)? / below;
    Some(if negative { -amount } else { amount })
}

/// The shortest way to write an amount that loses nothing.
pub(crate) fn text(amount: i128) -> String {
    if amount % 1000 != 0 {
        return format!("{amount}m");
    }
    let whole = amount / 1000;
    let suffixes = [("Gi", 1_i128 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    match suffixes.into_iter().find(|(_, size)| whole != 0 && whole % size == 0) {
        Some((suffix, size)) => format!("{}{suffix}", whole / size),
        None => whole.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written() {
        for (written, amount) in [
            ("500m", Some(500)),
            ("1", Some(1000)),
            ("1.5", Some(1500)),
            ("1Gi", Some(1_073_741_824_000)),
            ("2k", Some(2_000_000)),
            ("1e3", Some(1_000_000)),
            ("100u", Some(1)),
            ("-1", Some(-1000)),
            ("", None),
            ("1gb", None),
            ("1.2.3", None),
            ("lots", None),
            ("e", None),
        ] {
            assert_eq!(parse(written), amount, "{written}");
        }
        for shortest in ["500m", "3", "1Gi", "1536Mi", "0"] {
            assert_eq!(text(parse(shortest).expect("an amount")), shortest);
        }
    }
}
