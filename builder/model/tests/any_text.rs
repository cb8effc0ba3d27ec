//! Whatever is in a file, the answer is a value or findings, never a panic; and findings can always be printed.

use std::sync::Arc;

use model::board::{BoardToml, check_board};
use model::document;
use model::finding::{Findings, SourceFile};
use model::fleet::{FleetToml, Known, check_fleet};
use model::layout::{LayoutToml, check_layout};
use proptest::prelude::*;

/// Reads `text` as each kind of file and prints what was found.
fn read_as_everything(text: &str) {
    let file = Arc::new(SourceFile {
        path: "any.toml".into(),
        text: text.to_owned(),
    });
    let mut findings = Findings::default();
    if let Some(written) = document::parse::<FleetToml>(&file, &mut findings) {
        check_fleet(&file, &written, &Known::default(), &mut findings);
    }
    if let Some(written) = document::parse::<BoardToml>(&file, &mut findings) {
        check_board("any", &file, &written, &mut findings);
    }
    if let Some(written) = document::parse::<LayoutToml>(&file, &mut findings) {
        check_layout("any", &file, &written, &mut findings);
    }
    findings.sort();
    assert_eq!(
        findings.to_json().as_array().map(Vec::len),
        Some(findings.0.len())
    );
    if !findings.0.is_empty() {
        assert!(findings.to_string().contains("error: "));
    }
}

/// A file that is nearly right: a good one with some places replaced by what often goes wrong.
fn nearly_right() -> impl Strategy<Value = String> {
    let goods = [
        include_str!("good/images/fleet.toml"),
        include_str!("good/boards/raw/board.toml"),
        include_str!("good/images/layouts/card.toml"),
    ];
    let scrap = prop_oneof![
        "[\\[\\]{}=\"'.,#0-9 \\n\\ra-z-]{0,8}",
        Just("\"\"\"".to_owned()),
        Just("{slot:09}".to_owned()),
        Just("18446744073709551616".to_owned()),
        Just("-9223372036854775808".to_owned()),
        Just("\u{feff}é日\u{200b}\t\r\n".to_owned()),
        Just("nan".to_owned()),
        any::<String>(),
    ];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, scrap), 0..5);
    (prop::sample::select(goods.to_vec()), edits).prop_map(|(good, edits)| {
        let mut text: Vec<char> = good.chars().collect();
        for (at, length, scrap) in edits {
            let start = at.index(text.len() + 1);
            let end = (start + length).min(text.len());
            text.splice(start..end, scrap.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        read_as_everything(&text);
    }

    #[test]
    fn nearly_right_text_is_answered(text in nearly_right()) {
        read_as_everything(&text);
    }
}

#[test]
fn deep_nesting_is_answered() {
    read_as_everything(&format!("name = {}{}", "[".repeat(100_000), "]".repeat(100_000)));
    read_as_everything(&format!("name = {}", "{ a = ".repeat(50_000)));
    read_as_everything(&format!("{} = 1", ["a"; 50_000].join(".")));
}
