//! A finished `.config`.

use std::collections::BTreeMap;

use model::kernel::fragment::Value;

/// The values of a configuration; a symbol that is not in it is off or does not exist.
#[derive(Debug, Default)]
pub struct DotConfig(BTreeMap<String, Value>);

impl DotConfig {
    /// Reads the text of a `.config` as Kconfig wrote it.
    pub fn parse(text: &str) -> Self {
        let values = text.lines().filter_map(|line| {
            let (symbol, value) = line.strip_prefix("CONFIG_")?.split_once('=')?;
            Some((symbol.to_owned(), Value::parse(value)?))
        });
        Self(values.collect())
    }

    /// The value of `symbol`.
    pub fn value(&self, symbol: &str) -> Value {
        self.0.get(symbol).cloned().unwrap_or(Value::No)
    }

    /// How many symbols are `value`.
    pub fn count(&self, value: &Value) -> usize {
        self.0.values().filter(|other| *other == value).count()
    }
}
