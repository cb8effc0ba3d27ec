//! What is wrong with a template, in words: the crate that reads templates names the rules of its grammar.

use std::ops::Range;

use handlebars::{Context as Prepared, RenderError, RenderErrorReason, TemplateError, TemplateErrorReason};
use model::names::{nearest, quoted, suggest};
use serde_json::Value;

use super::context::{NAMES, VARS};

/// What a template can call.
const HELPERS: [&str; 16] = [
    "if", "unless", "each", "with", "lookup", "raw", "eq", "ne", "gt", "gte", "lt", "lte", "and", "or",
    "not", "len",
];

/// What is wrong, in which bytes of the template, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub what: String,
    pub span: Range<usize>,
    pub hint: Option<String>,
}

/// A `{{ }}` of a template.
struct Tag<'a> {
    span: Range<usize>,
    /// What stands in it, without its marks.
    inner: &'a str,
}

/// Why `text` is no template.
pub(super) fn of_template(text: &str, error: &TemplateError) -> Fault {
    let (line, column) = error.pos().unwrap_or((1, 1));
    let place = position(text, line, column);
    let found = |what: String, span| Fault {
        what,
        span,
        hint: None,
    };
    match error.reason() {
        TemplateErrorReason::InvalidSyntax(_) => syntax(text, place),
        TemplateErrorReason::MismatchingClosedHelper(opened, closed) => found(
            format!("`{{{{#{opened}}}}}` is closed by `{{{{/{closed}}}}}`"),
            place,
        ),
        other => found(first_line(&other.to_string()), place),
    }
}

/// Where the syntax breaks: a `{{` or a block that nobody closes, else what stands at `place`.
fn syntax(text: &str, place: Range<usize>) -> Fault {
    let mut open: Vec<(&str, Range<usize>)> = Vec::new();
    let mut at_place = None;
    let mut from = 0;
    while let Some(start) = text[from..].find("{{").map(|start| from + start) {
        from = start + 2;
        if text[..start].ends_with('\\') {
            continue;
        }
        let Some(tag) = Tag::read(text, start) else {
            return Fault {
                what: "a `{{` is never closed: there is no `}}` behind it".to_owned(),
                span: start..start + 2,
                hint: Some("braces of the file itself, and no template's, are written `\\{{`".to_owned()),
            };
        };
        from = tag.span.end;
        let word = |rest: &'_ str| -> usize { rest.find([' ', '\t', '\n']).unwrap_or(rest.len()) };
        if let Some(block) = tag.inner.strip_prefix('#') {
            let block = block.trim_start();
            open.push((&block[..word(block)], tag.span.clone()));
        } else if let Some(closed) = tag.inner.strip_prefix('/') {
            match open.pop() {
                Some((name, _)) if name == closed.trim() => {}
                Some((name, _)) => {
                    return Fault {
                        what: format!("`{{{{#{name}}}}}` is closed by `{{{{/{}}}}}`", closed.trim()),
                        span: tag.span,
                        hint: None,
                    };
                }
                None => {
                    return Fault {
                        what: format!("`{{{{/{}}}}}` closes what nobody opened", closed.trim()),
                        span: tag.span,
                        hint: None,
                    };
                }
            }
        } else if tag.span.contains(&place.start) {
            at_place = Some(tag);
        }
    }
    if let Some((name, span)) = open.pop() {
        return Fault {
            what: format!("`{{{{#{name}}}}}` is never closed: `{{{{/{name}}}}}` is missing"),
            span,
            hint: None,
        };
    }
    let examples = "a value is `{{node.name}}`, a condition `{{#if node.gateways}}...{{/if}}`";
    match at_place {
        Some(tag) if tag.inner.is_empty() => Fault {
            what: "there is nothing between `{{` and `}}`".to_owned(),
            span: tag.span,
            hint: Some(examples.to_owned()),
        },
        Some(tag) => Fault {
            what: format!(
                "{} is nothing that a template can say",
                quoted(&text[tag.span.clone()])
            ),
            span: tag.span,
            hint: Some(examples.to_owned()),
        },
        None => Fault {
            what: "this is nothing that a template can say".to_owned(),
            span: place,
            hint: Some(examples.to_owned()),
        },
    }
}

impl<'a> Tag<'a> {
    /// The `{{ }}` that starts at `start`, if it ends before another starts.
    fn read(text: &'a str, start: usize) -> Option<Self> {
        let rest = &text[start + 2..];
        let is_comment = rest.starts_with('!');
        let end = match rest.starts_with("!--") {
            true => rest.find("--}}")? + 4,
            false => rest.find("}}")? + 2,
        };
        // Of `{{{` the third is no start of another.
        let another = rest.trim_start_matches('{').find("{{");
        let skipped = rest.len() - rest.trim_start_matches('{').len();
        if !is_comment && another.is_some_and(|another| skipped + another < end) {
            return None;
        }
        let marks = ['{', '}', '~', '&', ' ', '\t', '\n', '\r'];
        Some(Self {
            inner: rest[..end].trim_matches(marks),
            span: start..start + 2 + end,
        })
    }
}

/// Why a template cannot be rendered with `context`, and what to do.
pub(super) fn of_rendering(error: &RenderError, context: &Prepared) -> (String, Option<String>) {
    match error.reason() {
        RenderErrorReason::MissingVariable(Some(name)) if var_of(name).is_some() => {
            let hint = var_of(name).map(|var| hint_of_var(var, context));
            (format!("there is no variable {}", quoted(name)), hint)
        }
        RenderErrorReason::MissingVariable(name) => {
            let hint = name.as_ref().and_then(|name| meant(name, context.data()));
            let hint = match hint {
                Some(meant) => format!("did you mean {}?", quoted(&meant)),
                None => format!(
                    "a template can use {}; what a node may lack is a list: {{{{#each node.gateways}}}}",
                    NAMES.map(quoted).join(", ")
                ),
            };
            let what = match name {
                Some(name) => format!("there is no variable {}", quoted(name)),
                None => "there is no such variable".to_owned(),
            };
            (what, Some(hint))
        }
        RenderErrorReason::HelperNotFound(name) => {
            let what = format!("there is no helper {}", quoted(name));
            (what, Some(suggest(name, HELPERS)))
        }
        RenderErrorReason::PartialNotFound(name) => {
            let what = format!(
                "there is no partial {}: templates do not include each other",
                quoted(name)
            );
            (what, None)
        }
        RenderErrorReason::ParamNotFoundForIndex(helper, _)
        | RenderErrorReason::ParamNotFoundForName(helper, _) => {
            (format!("{} has too few values behind it", quoted(helper)), None)
        }
        RenderErrorReason::InvalidParamType(wanted) => (
            format!("a value is of another kind: {} is needed", wanted.to_lowercase()),
            None,
        ),
        other => (first_line(&other.to_string()), None),
    }
}

/// The variable of the user that a path names: `vars.colour`, `@root.vars.colour`.
fn var_of(path: &str) -> Option<&str> {
    let path = path.trim_start_matches("../");
    path.strip_prefix("@root.").unwrap_or(path).strip_prefix("vars.")
}

/// What to do about a variable of the user that is not there.
fn hint_of_var(name: &str, context: &Prepared) -> String {
    let known = context.data()[VARS].as_object();
    let known = known.into_iter().flat_map(|vars| vars.keys().map(String::as_str));
    format!(
        "{}; [vars] in images/fleet.toml has those of all nodes",
        suggest(name, known)
    )
}

/// The variable that was probably meant by `name`, which is not in `data`.
fn meant(name: &str, data: &Value) -> Option<String> {
    let mut here = data;
    let mut from = 0;
    for part in name.split(['.', '/']) {
        let after = from + part.len();
        match here.get(part) {
            Some(inner) => here = inner,
            None => {
                let near = match here.as_object() {
                    Some(keys) => nearest(part, keys.keys().map(String::as_str)),
                    None => None,
                };
                // What stands in a block is a key of what the block is about.
                let near = near.or_else(|| match from {
                    0 => nearest(part, keys_within(data)),
                    _ => None,
                })?;
                return Some(format!("{}{near}{}", &name[..from], &name[after..]));
            }
        }
        from = after + 1;
    }
    None
}

/// All keys of `data` and of what is in it.
fn keys_within(data: &Value) -> Vec<&str> {
    match data {
        Value::Object(keys) => {
            let inner = keys.values().flat_map(keys_within);
            keys.keys().map(String::as_str).chain(inner).collect()
        }
        Value::Array(items) => items.iter().flat_map(keys_within).collect(),
        _ => Vec::new(),
    }
}

/// Where `text` has one brace around what reads like a variable: `{node.name}`. A shell's `${x}` and awk's `{print}` do not.
pub(super) fn single_braces(text: &str) -> Vec<Range<usize>> {
    let is_variable = |inner: &str| {
        let mut parts = inner.trim_matches(' ').split('.');
        let is_part = |part: &str| {
            let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            !part.is_empty() && part.bytes().all(is_letter)
        };
        let starts = parts.next().is_some_and(|first| NAMES.contains(&first));
        let mut keys = parts.peekable();
        starts && keys.peek().is_some() && keys.all(is_part)
    };
    let opening = |(start, _): (usize, &str)| {
        let inner = &text[start + 1..];
        let end = inner.find(['{', '}', '\n'])?;
        let is_single =
            !text[..start].ends_with(['{', '$', '\\', '#', '%']) && !inner[end..].starts_with("}}");
        let is_closed = inner[end..].starts_with('}');
        (is_single && is_closed && is_variable(&inner[..end])).then_some(start..start + end + 2)
    };
    text.match_indices('{').filter_map(opening).collect()
}

/// The first line of another crate's message, in the style of ours.
fn first_line(message: &str) -> String {
    let line = message
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("unknown");
    let mut characters = line.trim_end_matches('.').chars();
    let first = characters.next().map(char::to_lowercase);
    first.into_iter().flatten().chain(characters).collect()
}

/// The bytes of the character at a line and column, both from 1.
pub(super) fn position(text: &str, line: usize, column: usize) -> Range<usize> {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let line = text[start..].split('\n').next().unwrap_or_default();
    let at = line
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or(line.len(), |(at, _)| at);
    let length = line[at..].chars().next().map_or(0, char::len_utf8);
    start + at..start + at + length
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use handlebars::template::Template;
    use serde_json::json;

    use super::*;

    fn fault(text: &str) -> (String, &str) {
        let error = Template::compile(text).unwrap_err();
        let fault = of_template(text, &error);
        (fault.what, &text[fault.span])
    }

    #[test]
    fn what_nobody_closes_is_shown_where_it_starts() {
        for (text, what, place) in [
            ("a\n{{node.name\nb\n", "a `{{` is never closed", "{{"),
            ("{{node.name} {{node.slot}}", "a `{{` is never closed", "{{"),
            ("{{!-- all of it", "a `{{` is never closed", "{{"),
            (
                "{{#if node.name}}\na\n",
                "`{{#if}}` is never closed: `{{/if}}` is missing",
                "{{#if node.name}}",
            ),
            (
                "{{#each nodes}}{{#if a}}{{/each}}",
                "`{{#if}}` is closed by `{{/each}}`",
                "{{/each}}",
            ),
            ("a{{/if}}", "`{{/if}}` closes what nobody opened", "{{/if}}"),
            ("a {{ }} b", "there is nothing between", "{{ }}"),
            (
                "a {{node name=}} b",
                "`{{node name=}}` is nothing that a template can say",
                "{{node name=}}",
            ),
        ] {
            let (said, at) = fault(text);
            assert!(said.starts_with(what), "{text}: {said}");
            assert_eq!(at, place, "{text}");
            assert!(!said.contains("tilde") && !said.contains("expected"), "{said}");
        }
    }

    #[test]
    fn one_brace_is_told_from_a_shells_and_from_awks() {
        let found = |text: &'static str| -> Vec<&str> {
            single_braces(text).into_iter().map(|span| &text[span]).collect()
        };
        assert_eq!(
            found("a {node.name} b { nodes.x.y } c"),
            ["{node.name}", "{ nodes.x.y }"]
        );
        for text in [
            "{{node.name}} {{ node.name }} {{{node.name}}}",
            "${node.name} \\{node.name} {node} {nodename.x} {Node.name}",
            "awk '{ print $1 } { node.name = 1 }' {node.}\n{node.name\n}",
            "{node.name}}",
        ] {
            assert!(found(text).is_empty(), "{text}: {:?}", found(text));
        }
    }

    #[test]
    fn the_variable_that_was_meant_is_named() {
        let data =
            json!({"node": {"name": "a", "ports": [{"address": "1"}]}, "nodes": [], "fleet": {"name": ""}});
        for (name, wanted) in [
            ("node.nam", Some("node.name")),
            ("nod.name", Some("node.name")),
            ("node/nam", Some("node/name")),
            ("adress", Some("address")),
            ("node.name.first", None),
            ("colour", None),
        ] {
            assert_eq!(meant(name, &data).as_deref(), wanted, "{name}");
        }
    }
}
