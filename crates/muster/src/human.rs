//! Numbers and times as people read them.

use std::time::Duration;

use muster_core::Timestamp;

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 input`, `2,000 inputs`.
pub fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// `512 B`, `1.5 KiB`, `20.0 GiB`.
pub fn bytes(number: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let (mut size, mut unit) = (number as f64, "B");
    for larger in units {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    if unit == "B" { format!("{number} B") } else { format!("{size:.1} {unit}") }
}

/// `1.5 ms`, `2.3 s`, `4 min 10 s`, `3 h 5 min`, `2 d 4 h`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let pair = |large: u64, unit: &str, small: u64, smaller: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {smaller}"),
    };
    match seconds {
        0 if time < Duration::from_millis(10) => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        0 => format!("{} ms", time.as_millis()),
        1..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => pair(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => pair(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// The same of a number of seconds; nothing if it is none.
pub fn seconds(seconds: f64) -> Option<String> {
    Duration::try_from_secs_f64(seconds).ok().map(duration)
}

/// `just now`, `12 s ago`, `3 min ago`, `2 h ago`, `5 d ago`.
pub fn ago(time: Timestamp, now: Timestamp) -> String {
    match now.since(time).as_secs() {
        0..2 => "just now".to_owned(),
        seconds => format!("{} ago", whole(seconds)),
    }
}

/// `now`, `in 12 s`, `in 3 min`, `in 2 h`, `in 5 d`: no less than that is left.
pub fn ahead(time: Timestamp, now: Timestamp) -> String {
    match time.since(now).as_secs() {
        0 => "now".to_owned(),
        seconds => format!("in {}", whole(seconds)),
    }
}

/// In the largest unit of which there is one.
fn whole(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `435/s`, `2.5/s`.
pub fn rate(number: u64, time: Duration) -> String {
    let per_second = number as f64 / time.as_secs_f64().max(1e-6);
    if per_second < 10.0 {
        return format!("{per_second:.1}/s");
    }
    format!("{}/s", count(per_second.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_thousands() {
        let counts = [0, 999, 1000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((counted(1, "row"), counted(0, "row")), ("1 row".into(), "0 rows".into()));
    }

    #[test]
    fn sizes_have_a_unit() {
        let texts = [0, 1023, 1536, 20 << 30].map(bytes);
        assert_eq!(texts, ["0 B", "1023 B", "1.5 KiB", "20.0 GiB"]);
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let times = [0.0015, 0.25, 2.31, 59.0, 60.0, 250.0, 11_100.0, 187_200.0];
        let texts = times.map(|seconds| duration(Duration::from_secs_f64(seconds)));
        let expected =
            ["1.5 ms", "250 ms", "2.3 s", "59 s", "1 min", "4 min 10 s", "3 h 5 min", "2 d 4 h"];
        assert_eq!(texts, expected);
        assert_eq!((seconds(2.31), seconds(-1.0)), (Some("2.3 s".into()), None));
    }

    #[test]
    fn ages_and_rates_are_short() {
        let now = Timestamp::from_micros(0) + Duration::from_secs(7200);
        assert_eq!(ago(now, now), "just now");
        assert_eq!(ago(now - Duration::from_secs(90), now), "1 min ago");
        assert_eq!(ago(Timestamp::from_micros(0), now), "2 h ago");
        assert_eq!(ahead(now, now), "now");
        assert_eq!(ahead(now + Duration::from_secs(604_799), now), "in 6 d");
        assert_eq!(rate(5, Duration::from_secs(2)), "2.5/s");
        assert_eq!(rate(3_000_000, Duration::from_secs(2)), "1,500,000/s");
    }
}
