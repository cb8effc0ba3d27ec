//! What a template speaks of, as its text shows: so what is alike on all nodes of a role, because its template knows of
//! no node, is rendered once and is the role's.
//!
//! The text decides and not what comes out of it: a file that happens to be alike on all nodes today would otherwise
//! move other files when one node changes.

use std::collections::BTreeSet;

use handlebars::template::{HelperTemplate, Parameter, Template, TemplateElement};
use handlebars::{Path, PathSeg};

/// The names at the root of the context that a template uses.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: BTreeSet<String>,
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
        names.template(template, Start::Root);
        names
    }

    /// Whether the template can use `name`.
    pub fn has(&self, name: &str) -> bool {
        self.any || self.names.contains(name)
    }

    fn template(&mut self, template: &Template, start: Start) {
        for element in &template.elements {
            match element {
                TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
                TemplateElement::HtmlExpression(helper) | TemplateElement::Expression(helper) => {
                    self.expression(helper, start);
                }
                TemplateElement::HelperBlock(helper) => self.block(helper, start),
                // Partials and decorators: no overlay has them.
                _ => self.any = true,
            }
        }
    }

    /// `{{path}}` or `{{helper parameter}}`.
    fn expression(&mut self, helper: &HelperTemplate, start: Start) {
        if helper.params.is_empty() && helper.hash.is_empty() {
            self.parameter(&helper.name, start);
        } else {
            self.parameters(helper, start);
        }
    }

    fn block(&mut self, helper: &HelperTemplate, start: Start) {
        self.parameters(helper, start);
        let inner = match &helper.name {
            Parameter::Name(name) if name == "if" || name == "unless" => start,
            // Within these, paths start at what their parameter names.
            Parameter::Name(name) if name == "each" || name == "with" => Start::Item,
            _ => {
                self.any = true;
                return;
            }
        };
        // A name for the item leaves open where other paths start.
        self.any |= helper.block_param.is_some();
        if let Some(template) = &helper.template {
            self.template(template, inner);
        }
        if let Some(template) = &helper.inverse {
            self.template(template, start);
        }
    }

    fn parameters(&mut self, helper: &HelperTemplate, start: Start) {
        for parameter in helper.params.iter().chain(helper.hash.values()) {
            self.parameter(parameter, start);
        }
    }

    fn parameter(&mut self, parameter: &Parameter, start: Start) {
        match parameter {
            Parameter::Literal(_) => {}
            Parameter::Name(name) => self.segments(name, name.split(['.', '/', '[']).next(), start),
            Parameter::Path(Path::Relative((segments, raw))) => {
                let first = match segments.first() {
                    Some(PathSeg::Named(name)) => Some(name.as_str()),
                    _ => None,
                };
                self.segments(raw, first, start);
            }
            // `@index` and its like; those of an outer block say no more.
            Parameter::Path(Path::Local((_, name, _))) => self.any |= name == "root",
            Parameter::Subexpression(subexpression) => match subexpression.as_element() {
                TemplateElement::Expression(helper) => self.expression(helper, start),
                _ => self.any = true,
            },
            _ => self.any = true,
        }
    }

    /// A path `raw` whose first part is `first`, where that is a name.
    fn segments(&mut self, raw: &str, first: Option<&str>, start: Start) {
        if raw.contains("..") || raw.contains("@root") {
            self.any = true;
            return;
        }
        match (start, first) {
            (Start::Item, _) => {}
            (Start::Root, Some(name)) if name != "this" && name != "." => {
                self.names.insert(name.to_owned());
            }
            // The root itself.
            (Start::Root, _) => self.any = true,
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
    }

    #[test]
    fn what_could_be_anything_is() {
        for text in [
            "{{this}}",
            "{{#each this}}{{/each}}",
            "{{#each nodes}}{{../node.name}}{{/each}}",
            "{{#each nodes}}{{@root.node.name}}{{/each}}",
            "{{#each nodes}}{{@root/node/name}}{{/each}}",
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
