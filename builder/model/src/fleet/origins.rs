//! Where each value of a node was written, as `show` prints it.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::Arc;

use super::nodes::Draft;
use super::values::{Choices, Sourced};
use super::{FleetToml, Mac, Origin};
use crate::finding::SourceFile;
use crate::written::{At, Table};

/// Origins under construction.
struct Origins<'a> {
    file: &'a Arc<SourceFile>,
    list: Vec<Origin>,
}

impl Origins<'_> {
    fn add(&mut self, name: &str, value: impl ToString, span: &Range<usize>, note: Option<String>) {
        self.list.push(Origin::new(self.file, span, name, value, note));
    }

    /// A list, at its first value; an empty list was written nowhere.
    fn add_list(&mut self, name: &str, values: &[At<String>], note: Option<String>) {
        if let Some(first) = values.first() {
            let texts: Vec<_> = values.iter().map(|value| value.as_str()).collect();
            self.add(name, texts.join(" "), &first.span, note);
        }
    }
}

/// The table of `name`.
fn find<'a, T>(table: &'a Table<T>, name: &str) -> Option<&'a T> {
    table
        .into_iter()
        .find(|(key, _)| key.value == name)
        .map(|(_, value)| value)
}

/// The values of a node that come from the fleet's file.
pub(super) fn origins(
    file: &Arc<SourceFile>,
    written: &FleetToml,
    draft: &Draft<'_>,
    choices: &Choices,
    address: &Sourced<Ipv4Addr>,
    mac: Option<&Sourced<Mac>>,
) -> Vec<Origin> {
    let mut origins = Origins {
        file,
        list: Vec::new(),
    };
    origins.add("name", &draft.name, &draft.name_span, draft.name_note.clone());
    origins.add("cluster", &draft.cluster.value, &draft.cluster.span, None);
    origins.add("slot", draft.slot, &draft.slot_span, None);
    origins.add("address", address.value, &address.span, address.note.clone());
    if let Some(mac) = mac {
        origins.add("mac", mac.value, &mac.span, mac.note.clone());
    }
    let chosen = |origins: &mut Origins<'_>, name: &str, choice: &Sourced<String>| {
        origins.add(name, &choice.value, &choice.span, choice.note.clone());
    };
    chosen(&mut origins, "network", &choices.network);
    if let Some(network) = find(&written.networks, &choices.network.value) {
        let note = Some(format!("network {}", choices.network.value));
        origins.add(
            "subnet",
            &network.subnet.value,
            &network.subnet.span,
            note.clone(),
        );
        if let Some(gateway) = &network.gateway {
            origins.add("gateway", &gateway.value, &gateway.span, note.clone());
        }
        origins.add_list("name-servers", &network.name_servers, note);
    }
    chosen(&mut origins, "role", &choices.role);
    if let Some(role) = find(&written.roles, &choices.role.value) {
        origins.add_list(
            "overlays",
            &role.overlays,
            Some(format!("role {}", choices.role.value)),
        );
        origins.add_list(
            "template",
            &role.template,
            Some(format!("role {}", choices.role.value)),
        );
    }
    chosen(&mut origins, "board", &choices.board);
    chosen(&mut origins, "layout", &choices.layout);
    if let Some(first) = written.admin_keys.first() {
        let comments: Vec<_> = written.admin_keys.iter().map(|key| key_name(key)).collect();
        origins.add("admin-keys", comments.join(", "), &first.span, None);
    }
    origins.add_list("time-servers", &written.time_servers, None);
    origins.list
}

/// How people know a key: by its comment, else by its type.
fn key_name(line: &str) -> &str {
    line.splitn(3, ' ')
        .nth(2)
        .or_else(|| line.split(' ').next())
        .unwrap_or(line)
}
