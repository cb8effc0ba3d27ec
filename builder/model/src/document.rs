//! A TOML file checked against its schema: every unknown key, missing key, wrong type and unknown word at once. What serde
//! would report is only the first of them. Where the file is no TOML, nothing is known behind its first syntax error.

use std::ops::Range;
use std::sync::Arc;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};
use toml_parser::Source;
use toml_parser::lexer::TokenKind;

use crate::finding::{Finding, Findings, Place, SourceFile};
use crate::names::{nearest, quoted, suggest};

/// Findings of one file that are shown; a file with more is not of the kind it is taken for.
const MOST: usize = 50;

/// Keys that are called otherwise now.
const RENAMED: [(&str, &str); 1] = [("template", "container-image")];

/// `file` as `T`, or `None` where nothing can be made of it. Unknown keys are found and left out, so that the rules
/// behind this hold what remains; a value of a wrong type ends the reading of this file.
pub fn parse<T: DeserializeOwned + JsonSchema>(file: &Arc<SourceFile>, findings: &mut Findings) -> Option<T> {
    let (mut root, errors) = DeTable::parse_recoverable(&file.text);
    if !errors.is_empty() {
        findings.0.extend(syntax_findings(file, &errors));
        return None;
    }
    let schema = schema_of::<T>();
    let mut walk = Walk {
        file,
        schema: &schema,
        findings: Vec::new(),
        readable: true,
    };
    walk.table(root.get_mut(), 0..0, &schema, "");
    let readable = walk.readable;
    let found = walk.findings.len();
    findings.0.extend(walk.findings.into_iter().take(MOST));
    if found > MOST {
        findings.push(
            Finding::new(format!("and {} more in `{}`", found - MOST, file.path.display()))
                .at(file.place(0..0)),
        );
    }
    if !readable {
        return None;
    }
    let parsed = T::deserialize(Deserializer::from(root)).map_err(|error| {
        Finding::new(error.message().to_owned()).at(file.place(error.span().unwrap_or(0..0)))
    });
    findings.keep(parsed)
}

impl SourceFile {
    /// The whole text as `T`, or everything that keeps it from being one.
    pub fn parse<T: DeserializeOwned + JsonSchema>(self: &Arc<Self>) -> Result<T, Findings> {
        let mut findings = Findings::default();
        match parse(self, &mut findings) {
            Some(value) => findings.or_value(value),
            None => Err(findings),
        }
    }
}

/// The first syntax error of a file: what follows it are its echoes. Keys that stand there twice before it are each a
/// mistake of their own.
fn syntax_findings(file: &Arc<SourceFile>, errors: &[toml::de::Error]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut repeated_table = None;
    let opening = unclosed(&file.text);
    let mut errors: Vec<_> = errors.iter().collect();
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        // What stands behind a bracket that nobody closes is taken for what is in it.
        let inside = opening
            .as_ref()
            .is_some_and(|opening| opening.start <= span.start);
        if error.message() != "duplicate key" || inside {
            let (what, span) = match opening.filter(|_| inside) {
                Some(opening) => (never_closed(&file.text, &opening), opening),
                None => (syntax_fault(error.message()), span),
            };
            findings.push(Finding::new(what).at(file.place(span)));
            break;
        }
        let place = file.place(span);
        let table = table_start(&file.text, place.span.start);
        if repeated_table == Some(table) {
            continue;
        }
        if line_at(&file.text, place.span.start).starts_with('[') {
            repeated_table = Some(table);
        }
        findings.push(duplicate(file, place));
        if findings.len() == MOST {
            break;
        }
    }
    findings
}

/// The first bracket or brace that is opened and never closed.
fn unclosed(text: &str) -> Option<Range<usize>> {
    let mut open = Vec::new();
    for token in Source::new(text).lex() {
        let opened_by = match token.kind() {
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => {
                open.push(token);
                continue;
            }
            TokenKind::RightSquareBracket => TokenKind::LeftSquareBracket,
            TokenKind::RightCurlyBracket => TokenKind::LeftCurlyBracket,
            _ => continue,
        };
        open.pop_if(|last| last.kind() == opened_by);
    }
    let first = open.first()?.span();
    Some(first.start()..first.end())
}

/// What is said of a bracket or brace that nobody closes.
fn never_closed(text: &str, opening: &Range<usize>) -> String {
    let line_start = text[..opening.start].rfind('\n').map_or(0, |newline| newline + 1);
    let is_header = text[line_start..opening.start]
        .trim_matches([' ', '\t', '['])
        .is_empty();
    match (is_header, &text[opening.clone()]) {
        (true, _) => "the name of a table starts here and has no `]` at its end".to_owned(),
        (false, "{") => "a table starts here that is never closed: it has no `}`".to_owned(),
        (false, _) => "a list starts here that is never closed: it has no `]`".to_owned(),
    }
}

/// A message of the parser in the words of people.
fn syntax_fault(message: &str) -> String {
    let message = message.lines().collect::<Vec<_>>().join(", ");
    let (fault, expected) = message.split_once(", expected ").unwrap_or((&message, ""));
    let text = match fault {
        _ if fault.starts_with("invalid") && fault.ends_with("string") && expected.contains(['"', '\'']) => {
            "a text starts in this line that is never closed: it has no quote at its end"
        }
        "string values must be quoted" => "a text stands in quotes: \"like this\"",
        "missing comma between array elements" => "a `,` is missing between two values of a list",
        "missing comma between key-value pairs" => "a `,` is missing between two keys of a table",
        "extra comma in array" | "extra comma in inline table" => "there is one `,` too many",
        "extra `=`" | "unexpected `=` in array" | "extra assignment between key-value pairs" => {
            "there is one `=` too many"
        }
        "key with no value" | "missing value for key" | "missing assignment between key-value pairs" => {
            "a key has no value: it is written `key = value`"
        }
        "unexpected key or value" => "one line has one `key = value`, and nothing behind it",
        "unquoted keys cannot be empty" => "there is no key before the `=`",
        _ if ["", "nothing"].contains(&expected) => fault,
        _ => return message,
    };
    text.to_owned()
}

/// A key or a table that was written before.
fn duplicate(file: &Arc<SourceFile>, place: Place) -> Finding {
    let key = quoted(file.text.get(place.span.clone()).unwrap_or_default());
    let line = line_at(&file.text, place.span.start);
    let here = place.span.start;
    let finding = Finding::new(format!("{key} is written twice")).at(place);
    if !line.starts_with('[') {
        return finding.hint("remove one of the two, or rename it");
    }
    let header = |line: &str| line.split('#').next().unwrap_or_default().trim_end().to_owned();
    let first = file
        .text
        .match_indices(&header(line))
        .map(|(start, _)| start)
        .find(|start| *start < here && header(line_at(&file.text, *start)) == header(line));
    match first {
        Some(start) => finding.related(file.place(start..start + header(line).len()), "first here"),
        None => finding,
    }
    .hint("merge the two tables, or rename one")
}

/// The line that holds byte `at`, without leading space.
fn line_at(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = &text[start..];
    line[..line.find('\n').unwrap_or(line.len())].trim()
}

/// Where the table that holds byte `at` starts: its header's line.
fn table_start(text: &str, at: usize) -> usize {
    let lines = text[..at].match_indices('\n').map(|(newline, _)| newline + 1);
    let mut headers = lines.filter(|start| text[*start..].trim_start_matches([' ', '\t']).starts_with('['));
    headers.next_back().unwrap_or(0)
}

/// A walk through a document and its schema side by side.
struct Walk<'a> {
    file: &'a Arc<SourceFile>,
    schema: &'a Value,
    findings: Vec<Finding>,
    /// Whether serde will be able to read what is left.
    readable: bool,
}

impl<'a> Walk<'a> {
    /// The schema that `schema` refers to: behind `$ref`, without the `allOf` that a description puts around it, and
    /// without the "or null" of an optional value.
    fn resolve(&self, mut schema: &'a Value) -> &'a Value {
        loop {
            let some =
                |choices: &'a Value| choices.as_array()?.iter().find(|choice| choice["type"] != "null");
            let target = schema["$ref"]
                .as_str()
                .and_then(|name| self.schema.pointer(name.strip_prefix('#')?));
            match target
                .or_else(|| some(&schema["allOf"]))
                .or_else(|| some(&schema["anyOf"]))
            {
                Some(inner) => schema = inner,
                None => return schema,
            }
        }
    }

    fn unreadable(&mut self, finding: Finding) {
        self.readable = false;
        self.findings.push(finding);
    }

    /// Holds `value`, known as `path`, against `schema`.
    fn value(&mut self, value: &mut Spanned<DeValue<'_>>, schema: &'a Value, path: &str) {
        let schema = self.resolve(schema);
        let span = value.span();
        if let Some(words) = words(schema) {
            self.word(value.get_ref(), span, &words, path);
            return;
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            self.choice(value, choices, path);
            return;
        }
        if !allows(schema, value.get_ref()) {
            let mut finding = Finding::new(format!(
                "{} must be {}, not {}",
                quoted(path),
                wanted(schema),
                article(value.get_ref().type_str())
            ))
            .at(self.file.place(span));
            if let Some(hint) = type_hint(schema, value.get_ref()) {
                finding = finding.hint(hint);
            }
            self.unreadable(finding);
            return;
        }
        match value.get_mut() {
            DeValue::Table(table) => self.table(table, span, schema, path),
            DeValue::Array(array) => {
                for item in array.iter_mut() {
                    self.value(item, &schema["items"], path);
                }
            }
            DeValue::Integer(integer) => {
                let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
                let (least, most) = (
                    schema["minimum"].as_i64().unwrap_or(i64::MIN),
                    schema["maximum"].as_i64().unwrap_or(i64::MAX),
                );
                if number.is_none_or(|number| number < least.into() || number > most.into()) {
                    self.unreadable(
                        Finding::new(format!("{} must be from {least} to {most}", quoted(path)))
                            .at(self.file.place(span)),
                    );
                }
            }
            _ => {}
        }
    }

    /// A table with exactly one key, which says what the value below it is.
    fn choice(&mut self, value: &mut Spanned<DeValue<'_>>, choices: &'a [Value], path: &str) {
        let keys = choices
            .iter()
            .filter_map(|choice| choice["properties"].as_object()?.keys().next());
        let keys: Vec<&str> = keys.map(String::as_str).collect();
        let span = value.span();
        let written: Vec<_> = match value.get_ref() {
            DeValue::Table(table) => table
                .keys()
                .map(|key| (key.get_ref().to_string(), key.span()))
                .collect(),
            _ => Vec::new(),
        };
        let known = |name: &str| {
            choices
                .iter()
                .find(|choice| !choice["properties"][name].is_null())
        };
        match (written.as_slice(), value.get_mut()) {
            ([(name, _)], DeValue::Table(table)) if known(name).is_some() => {
                if let Some(schema) = known(name) {
                    self.table(table, span, schema, path);
                }
            }
            ([(name, key)], _) => self.unreadable(
                Finding::new(format!("unknown key {} in {}", quoted(name), quoted(path)))
                    .at(self.file.place(key.clone()))
                    .hint(suggest(name, keys)),
            ),
            _ => self.unreadable(
                Finding::new(format!("{} must be a table with exactly one key", quoted(path)))
                    .at(self.file.place(span))
                    .hint(format!("one of {}", quoted_list(&keys))),
            ),
        }
    }

    /// One of a few words.
    fn word(&mut self, value: &DeValue<'_>, span: Range<usize>, words: &[&str], path: &str) {
        let word = value.as_str();
        if word.is_some_and(|word| words.contains(&word)) {
            return;
        }
        let message = match word {
            Some(word) => format!("{} cannot be {}", quoted(path), quoted(word)),
            None => format!(
                "{} must be a word, not {}",
                quoted(path),
                article(value.type_str())
            ),
        };
        let choices: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let hint = match word.and_then(|word| nearest(word, words.iter().copied())) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("one of {}", choices.join(", ")),
        };
        self.unreadable(Finding::new(message).at(self.file.place(span)).hint(hint));
    }

    /// A table: its keys are those of `properties`, or the user's where `additionalProperties` is a schema.
    fn table(&mut self, table: &mut DeTable<'_>, span: Range<usize>, schema: &'a Value, path: &str) {
        let known = schema["properties"].as_object();
        let others = Some(&schema["additionalProperties"]).filter(|others| others.is_object());
        if known.is_none() && others.is_none() {
            return;
        }
        let below = |key: &str| {
            if path.is_empty() {
                key.to_owned()
            } else {
                format!("{path}.{key}")
            }
        };
        let mut unknown = Vec::new();
        for (key, value) in table.iter_mut() {
            let name = key.get_ref().as_ref();
            match known.and_then(|known| known.get(name)).or(others) {
                Some(schema) => self.value(value, schema, &below(name)),
                None => unknown.push((name.to_owned(), key.span())),
            }
        }
        for (name, key) in unknown {
            let whole = if path.is_empty() {
                String::new()
            } else {
                format!(" in {}", quoted(path))
            };
            let names = known
                .into_iter()
                .flat_map(|known| known.keys().map(String::as_str));
            let renamed = RENAMED.iter().find(|(before, _)| *before == name);
            let hint = match renamed.filter(|(_, now)| names.clone().any(|known| known == *now)) {
                Some((_, now)) => format!("it is called `{now}` now"),
                None => suggest(&name, names),
            };
            self.findings.push(
                Finding::new(format!("unknown key {}{whole}", quoted(&name)))
                    .at(self.file.place(key))
                    .hint(hint),
            );
            table.remove(name.as_str());
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            let Some(name) = name.as_str().filter(|name| !table.contains_key(*name)) else {
                continue;
            };
            let mut finding = Finding::new(format!("missing key {}", quoted(&below(name))))
                .at(self.file.place(span.clone()));
            if let Some(description) = schema["properties"][name]["description"].as_str() {
                let first = description.lines().next().unwrap_or(description);
                finding = finding.hint(format!("`{name}`: {first}"));
            }
            self.unreadable(finding);
        }
    }
}

/// Keys as a hint names them.
fn quoted_list(keys: &[&str]) -> String {
    keys.iter().map(|key| quoted(key)).collect::<Vec<_>>().join(", ")
}

/// The words that an enumeration allows.
fn words(schema: &Value) -> Option<Vec<&str>> {
    if let Some(choices) = schema["oneOf"].as_array() {
        return choices.iter().map(|choice| choice["const"].as_str()).collect();
    }
    schema["enum"].as_array()?.iter().map(Value::as_str).collect()
}

/// The types that a schema names.
fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Whether `value` is of a type that `schema` allows; a schema without a type allows any.
fn allows(schema: &Value, value: &DeValue<'_>) -> bool {
    let types = types(schema);
    types.is_empty()
        || types.iter().any(|name| match value {
            DeValue::String(_) => *name == "string",
            DeValue::Integer(_) => *name == "integer" || *name == "number",
            DeValue::Float(_) => *name == "number",
            DeValue::Boolean(_) => *name == "boolean",
            DeValue::Array(_) => *name == "array",
            DeValue::Table(_) => *name == "object",
            DeValue::Datetime(_) => false,
        })
}

/// The types that `schema` allows, for people.
fn wanted(schema: &Value) -> String {
    let types: Vec<_> = types(schema)
        .into_iter()
        .filter(|name| *name != "null")
        .map(|name| article(if name == "object" { "table" } else { name }))
        .collect();
    types.join(" or ")
}

/// A slip that is often behind a wrong type.
fn type_hint(schema: &Value, value: &DeValue<'_>) -> Option<String> {
    let types = types(schema);
    match value {
        DeValue::String(text) if types.contains(&"integer") && text.parse::<i64>().is_ok() => {
            Some(format!("write {text} without quotes"))
        }
        DeValue::Integer(number) if types.contains(&"string") => {
            Some(format!("write \"{number}\" in quotes"))
        }
        DeValue::String(text) if types.contains(&"array") => {
            Some(format!("write [\"{}\"] for a list of one", text.escape_debug()))
        }
        _ => None,
    }
}

/// A type's name with its article.
fn article(name: &str) -> String {
    let article = if name.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {name}")
}

/// The schema of `T`, draft 7: the newest that the TOML plugins of editors know whole.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}
