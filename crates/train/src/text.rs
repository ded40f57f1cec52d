//! Numbers as text.

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes, such as `1.6 GB`.
pub fn bytes(number: u64) -> String {
    let mut value = number as f64;
    let units = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if value < 1e3 {
        return format!("{number} bytes");
    }
    for unit in units {
        value /= 1e3;
        if value < 999.95 || unit == "EB" {
            return format!("{value:.1} {unit}");
        }
    }
    unreachable!("the last unit takes all")
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_are_rounded_to_a_tenth_of_a_unit() {
        for (number, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1_000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (11_200_000_000, "11.2 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(super::bytes(number), text);
        }
    }

    #[test]
    fn thousands_are_parted_by_commas() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (16_384, "16,384"), (1_234_567, "1,234,567")]
        {
            assert_eq!(super::thousands(number), text);
        }
    }
}
