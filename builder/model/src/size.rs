//! Sizes as people write them: `128 MiB`.

use formats::units::Bytes;

/// Largest size that a layout may name: what an MBR partition of 512-byte sectors can hold.
pub const MOST: Bytes = Bytes::gib(2048);

/// The size that `text` names: a whole number and KiB, MiB or GiB. The error says what is wrong and what to write.
pub fn parse_size(text: &str) -> Result<Bytes, (String, String)> {
    let example = || "a whole number and KiB, MiB or GiB: \"128 MiB\"".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = (&text[..digits], text[digits..].trim_start());
    let shift = match unit {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "KB" | "kB" | "K" | "k" => return Err((decimal(unit), format!("write \"{number} KiB\""))),
        "MB" | "M" | "m" => return Err((decimal(unit), format!("write \"{number} MiB\""))),
        "GB" | "G" | "g" => return Err((decimal(unit), format!("write \"{number} GiB\""))),
        _ => return Err((format!("`{}` is no size", text.escape_debug()), example())),
    };
    if digits == 0 {
        return Err((format!("`{}` is no size", text.escape_debug()), example()));
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .map(Bytes)
        .filter(|size| *size <= MOST)
        .ok_or_else(|| {
            (
                format!("{text} is more than {MOST}"),
                "no card is that large".to_owned(),
            )
        })
}

fn decimal(unit: &str) -> String {
    format!("`{unit}` may mean powers of 1000 or of 1024")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        assert_eq!(parse_size("128 MiB"), Ok(Bytes::mib(128)));
        assert_eq!(parse_size("4KiB"), Ok(Bytes::kib(4)));
        assert_eq!(parse_size("2048 GiB"), Ok(MOST));
        assert_eq!(parse_size("0 KiB"), Ok(Bytes(0)));
    }

    #[test]
    fn refuses_what_is_unclear_or_too_large() {
        for text in [
            "",
            "MiB",
            "12",
            "1.5 GiB",
            "-1 MiB",
            "128 MB",
            "2049 GiB",
            "99999999999999999999 KiB",
            "1 MiB ",
            "½ MiB",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
