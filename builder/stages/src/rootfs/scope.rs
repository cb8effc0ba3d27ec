//! What a template speaks of, as its text shows: so what is alike on all nodes of a role, because its template knows of
//! no node, is rendered once and is the role's.
//!
//! The text decides and not what comes out of it: a file that happens to be alike on all nodes today would otherwise
//! move other files when one node changes.

use std::collections::BTreeSet;

use handlebars::Path;
use handlebars::template::{HelperTemplate, Parameter, Template, TemplateElement};

/// The names at the root of the context that a template uses.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Each with what is used of it: `node` and `name`; `None` for all of it.
    names: BTreeSet<(String, Option<String>)>,
    /// It could use any.
    any: bool,
}

/// Where a path of a template starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// At the root of the context.
    Root,
    /// At an item of something that was named outside.
    Item,
}

impl Names {
    /// The names that `template` uses.
    pub fn of(template: &Template) -> Self {
        let mut names = Self::default();
        names.template(template, &[Start::Root]);
        names
    }

    /// Whether the template can use `name`.
    pub fn has(&self, name: &str) -> bool {
        self.any || self.names.iter().any(|(root, _)| root == name)
    }

    /// Whether the template can use `part` of `name`.
    pub fn has_below(&self, name: &str, part: &str) -> bool {
        let is_it = |below: &Option<String>| below.as_ref().is_none_or(|below| below == part);
        self.any
            || self
                .names
                .iter()
                .any(|(root, below)| root == name && is_it(below))
    }

    /// `scopes` are where paths start in the blocks around, the innermost last.
    fn template(&mut self, template: &Template, scopes: &[Start]) {
        for element in &template.elements {
            match element {
                TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
                TemplateElement::HtmlExpression(helper) | TemplateElement::Expression(helper) => {
                    self.expression(helper, scopes);
                }
                TemplateElement::HelperBlock(helper) => self.block(helper, scopes),
                // Partials and decorators: no overlay has them.
                _ => self.any = true,
            }
        }
    }

    /// `{{path}}` or `{{helper parameter}}`.
    fn expression(&mut self, helper: &HelperTemplate, scopes: &[Start]) {
        if helper.params.is_empty() && helper.hash.is_empty() {
            self.parameter(&helper.name, scopes);
        } else {
            self.parameters(helper, scopes);
        }
    }

    fn block(&mut self, helper: &HelperTemplate, scopes: &[Start]) {
        self.parameters(helper, scopes);
        let mut inner = scopes.to_vec();
        match &helper.name {
            Parameter::Name(name) if name == "if" || name == "unless" => {}
            // Within these, paths start at what their parameter names.
            Parameter::Name(name) if name == "each" || name == "with" => inner.push(Start::Item),
            _ => {
                self.any = true;
                return;
            }
        }
        // A name for the item leaves open where other paths start.
        self.any |= helper.block_param.is_some();
        if let Some(template) = &helper.template {
            self.template(template, &inner);
        }
        if let Some(template) = &helper.inverse {
            self.template(template, scopes);
        }
    }

    fn parameters(&mut self, helper: &HelperTemplate, scopes: &[Start]) {
        for parameter in helper.params.iter().chain(helper.hash.values()) {
            self.parameter(parameter, scopes);
        }
    }

    fn parameter(&mut self, parameter: &Parameter, scopes: &[Start]) {
        match parameter {
            Parameter::Literal(_) => {}
            Parameter::Name(path) | Parameter::Path(Path::Relative((_, path))) => self.path(path, scopes),
            // `@index` and its like; those of an outer block say no more.
            Parameter::Path(Path::Local((_, name, _))) => self.any |= name == "root",
            Parameter::Subexpression(subexpression) => match subexpression.as_element() {
                TemplateElement::Expression(helper) => self.expression(helper, scopes),
                _ => self.any = true,
            },
            _ => self.any = true,
        }
    }

    /// A path as it is written: `node.name`, `../name` of the block around, `@root.node`.
    fn path(&mut self, path: &str, scopes: &[Start]) {
        let (mut rest, mut up) = (path, 0);
        while let Some(outer) = rest.strip_prefix("..") {
            rest = outer.strip_prefix('/').unwrap_or(outer);
            up += 1;
        }
        let start = match rest.strip_prefix("@root") {
            Some(of_root) => {
                rest = of_root.strip_prefix(['.', '/']).unwrap_or(of_root);
                Some(Start::Root)
            }
            None => scopes.iter().rev().nth(up).copied(),
        };
        let mut parts = rest.split(['.', '/', '[', ']']).filter(|part| !part.is_empty());
        let first = if rest.starts_with(['.', '/', '[', ']']) {
            ""
        } else {
            parts.next().unwrap_or_default()
        };
        match start {
            Some(Start::Item) if !rest.contains("..") => {}
            Some(Start::Root) if !rest.contains("..") && !["", "this"].contains(&first) => {
                let below = parts.next().map(str::to_owned);
                self.names.insert((first.to_owned(), below));
            }
            // The root itself, or a way that nobody can follow here.
            _ => self.any = true,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn used(text: &str) -> Vec<&'static str> {
        let names = Names::of(&Template::compile(text).unwrap());
        let all = ["node", "nodes", "fleet", "identity", "mounts"];
        all.into_iter().filter(|name| names.has(name)).collect()
    }

    const ANY: [&str; 5] = ["node", "nodes", "fleet", "identity", "mounts"];

    #[test]
    fn names_at_the_root_count() {
        assert_eq!(used("text {{! {{node}} }} only \\{{node.name}}"), [""; 0]);
        assert_eq!(used("{{node.name}}"), ["node"]);
        assert_eq!(used("{{{node.name}}}{{&fleet.name}}"), ["node", "fleet"]);
        assert_eq!(used("{{node/name}} {{node.[name]}}"), ["node"]);
        assert_eq!(
            used("{{#if node.macs}}a{{else}}{{identity.host_key}}{{/if}}"),
            ["node", "identity"]
        );
        assert_eq!(
            used("{{#if (eq fleet.name node.name)}}{{/if}}"),
            ["node", "fleet"]
        );
        assert_eq!(used("{{lookup nodes 0}}"), ["nodes"]);
        assert_eq!(used("{{#each nodes}}{{/each}}{{node.name}}"), ["node", "nodes"]);
    }

    #[test]
    fn names_of_items_do_not() {
        assert_eq!(
            used("{{#each nodes}}{{address}} {{this.name}} {{node}} {{@index}}{{/each}}"),
            ["nodes"]
        );
        assert_eq!(
            used("{{#each fleet.time_servers}}{{this}}{{else}}{{mounts}}{{/each}}"),
            ["fleet", "mounts"]
        );
        assert_eq!(
            used("{{#with fleet}}{{#if name}}{{name}}{{/if}}{{/with}}"),
            ["fleet"]
        );
        assert_eq!(
            used("{{#each nodes}}{{#unless (eq role \"x\")}}{{name}}{{/unless}}{{/each}}"),
            ["nodes"]
        );
        assert_eq!(
            used(
                "{{#each nodes}}{{#each macs}}{{#if this}}{{../node}} {{@../index}}{{/if}}{{/each}}{{/each}}"
            ),
            ["nodes"]
        );
    }

    #[test]
    fn names_of_the_root_count_from_within_blocks() {
        for text in [
            "{{#each nodes}}{{../node.name}}{{/each}}",
            "{{#each nodes}}{{#each macs}}{{../../node.name}}{{/each}}{{/each}}",
            "{{#each nodes}}{{@root.node.name}}{{/each}}",
            "{{#each nodes}}{{@root/node/name}}{{/each}}",
            "{{#each nodes}}{{#if (eq name @root.node.name)}}{{/if}}{{/each}}",
        ] {
            assert_eq!(used(text), ["node", "nodes"], "{text}");
        }
    }

    #[test]
    fn what_could_be_anything_is() {
        for text in [
            "{{this}}",
            "{{#each this}}{{/each}}",
            "{{#each nodes}}{{../this}}{{/each}}",
            "{{#each nodes}}{{../../node.name}}{{/each}}",
            "{{#each nodes}}{{@root}}{{/each}}",
            "{{#each nodes as |n|}}{{n.name}}{{/each}}",
            "{{lookup this \"node\"}}",
            "{{#each nodes}}{{lookup @root \"node\"}}{{/each}}",
            "{{#other nodes}}{{/other}}",
            "{{> partial}}",
        ] {
            assert_eq!(used(text), ANY, "{text}");
        }
    }
}
