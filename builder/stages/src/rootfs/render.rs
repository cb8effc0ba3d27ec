//! Templates of overlays, rendered strictly: a variable that is not there is an error at its line, also in the
//! condition of an `#if`, and nothing is escaped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use handlebars::{
    Context as Prepared, Handlebars, Helper, HelperDef, HelperResult, JsonTruthy, Output, RenderContext,
    RenderErrorReason, Renderable,
};
use model::finding::{Finding, Findings, SourceFile};
use model::fleet::{Fleet, Role};
use model::names::quoted;
use model::overlay::{Overlay, TargetPath};

use super::context::{ALL_NAMES, Context, OWN_NAMES, VARS};
use super::faults;
use super::merge::merge;
use super::scope::Names;

/// The compiled templates of a role.
pub(super) struct Renderer {
    registry: Handlebars<'static>,
    files: BTreeMap<TargetPath, Template>,
}

/// A compiled template.
struct Template {
    file: Arc<SourceFile>,
    names: Names,
    /// Whether it is rendered for each node.
    is_own: bool,
}

/// The paths that are rendered for each node of a role with these overlays. What is wrong with a template, checking it
/// finds.
pub fn own_paths(fleet: &Fleet, role: &Role, overlays: &[&Overlay]) -> Result<Vec<TargetPath>, Findings> {
    let renderer = Renderer::new(merge(overlays)?.templates(), &fleet.own_vars(&role.name))?;
    Ok(renderer.own_paths().cloned().collect())
}

impl Renderer {
    /// Compiles templates by the path that each is rendered to; all that do not compile are found at once. `own_vars` are the
    /// variables of the user that some node of the role has a value of its own for.
    pub fn new(
        templates: impl IntoIterator<Item = (TargetPath, Arc<SourceFile>)>,
        own_vars: &BTreeSet<&str>,
    ) -> Result<Self, Findings> {
        let mut registry = Handlebars::new();
        registry.set_strict_mode(true);
        registry.register_escape_fn(handlebars::no_escape);
        registry.register_helper("if", Box::new(Condition { wanted: true }));
        registry.register_helper("unless", Box::new(Condition { wanted: false }));
        // It prints to the builder's terminal.
        registry.unregister_helper("log");
        let mut findings = Findings::default();
        let mut files = BTreeMap::new();
        for (path, file) in templates {
            if let Err(error) = registry.register_template_string(path.relative(), &file.text) {
                let fault = faults::of_template(&file.text, &error);
                let mut finding =
                    Finding::new(format!("the template of `{path}` is not valid: {}", fault.what));
                finding.hint = fault.hint;
                findings.push(finding.at(file.place(fault.span)));
            }
            let names = registry
                .get_template(path.relative())
                .map(Names::of)
                .unwrap_or_default();
            let is_own = OWN_NAMES.iter().any(|name| names.has(name))
                || own_vars.iter().any(|name| names.has_below(VARS, name));
            files.insert(path, Template { file, names, is_own });
        }
        findings.or_value(Self { registry, files })
    }

    /// The same, if nothing of it is rendered for each node.
    pub fn of_no_node(self) -> Result<Self, Findings> {
        let mut findings = Findings::default();
        for (path, template) in self.files.iter().filter(|(_, template)| template.is_own) {
            let finding = Finding::new(format!(
                "`{path}` is rendered for each node, but a container image is one for all of them"
            ));
            findings.push(finding.at(template.file.place(0..0)).hint(format!(
                "use none of {} and no `vars` of single nodes, or leave the overlay out of `container-image` of the role",
                OWN_NAMES.map(quoted).join(", ")
            )));
        }
        findings.or_value(self)
    }

    /// The paths that are rendered for each node.
    pub fn own_paths(&self) -> impl Iterator<Item = &TargetPath> {
        let own = self.files.iter().filter(|(_, template)| template.is_own);
        own.map(|(path, _)| path)
    }

    /// Whether one of these needs what grows with the fleet.
    pub fn own_need_all(&self) -> bool {
        let mut own = self.files.values().filter(|template| template.is_own);
        own.any(|template| ALL_NAMES.iter().any(|name| template.names.has(name)))
    }

    /// The texts of what is rendered once for all nodes of a role.
    pub fn render_shared(&self, context: &Prepared) -> Result<BTreeMap<&TargetPath, String>, Findings> {
        let mut findings = Findings::default();
        let mut texts = BTreeMap::new();
        for (path, _) in self.files.iter().filter(|(_, template)| !template.is_own) {
            if let Some(text) = findings.keep(self.render(path, "all nodes", context)) {
                texts.insert(path, text);
            }
        }
        findings.or_value(texts)
    }

    /// What all templates of a node are rendered from, made once.
    pub fn prepare(context: &Context<'_>) -> Result<Prepared> {
        Prepared::wraps(context).context("cannot make the values that templates use")
    }

    /// The text of `path` for `whom`: the name of a node.
    pub fn render(&self, path: &TargetPath, whom: &str, context: &Prepared) -> Result<String, Finding> {
        self.registry
            .render_with_context(path.relative(), context)
            .map_err(|error| {
                let (what, hint) = faults::of_rendering(&error, context);
                let mut finding = Finding::new(format!("cannot render `{path}` for {whom}: {what}"));
                finding.hint = hint;
                let Some(Template { file, .. }) = self.files.get(path) else {
                    return finding;
                };
                let span = faults::position(
                    &file.text,
                    error.line_no.unwrap_or(1),
                    error.column_no.unwrap_or(1),
                );
                finding.at(file.place(span))
            })
    }
}

/// `#if` and `#unless` that do not take a variable which is not there for one that is false.
struct Condition {
    wanted: bool,
}

impl HelperDef for Condition {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Prepared,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let condition = helper
            .param(0)
            .ok_or(RenderErrorReason::ParamNotFoundForIndex("if", 0))?;
        if condition.is_value_missing() {
            return Err(RenderErrorReason::MissingVariable(condition.relative_path().cloned()).into());
        }
        let template = if condition.value().is_truthy(false) == self.wanted {
            helper.template()
        } else {
            helper.inverse()
        };
        match template {
            Some(template) => template.render(registry, context, render, out),
            None => Ok(()),
        }
    }
}
