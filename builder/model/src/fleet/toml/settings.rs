//! Everyday settings of nodes as written: names, time and language, and values for templates.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::written::At;

/// Names, time and language of all nodes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SystemToml {
    /// Domain of all nodes, "example.org": each is known as NAME.example.org too, and names are looked up in it first.
    pub domain: Option<At<String>>,
    /// Time zone by its name in the tz database: "Europe/Vienna". Default: what the base has, UTC.
    pub time_zone: Option<At<String>>,
    /// Language and formats of programs: "de_AT.UTF-8", "C.UTF-8" or "POSIX". Default: "C.UTF-8".
    pub locale: Option<At<String>>,
}

/// A value for templates: a text, a number, true or false, or a list of these.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct VarToml(pub toml::Value);

impl JsonSchema for VarToml {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "VarToml".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number", "boolean", "array"],
            "items": { "type": ["string", "number", "boolean"] },
        })
    }
}
