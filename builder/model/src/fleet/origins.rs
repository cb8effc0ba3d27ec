//! Where each value of a node was written, as `show` prints it.

use std::ops::Range;
use std::sync::Arc;

use super::nodes::Draft;
use super::sourced::{Own, Sourced};
use super::{FleetToml, Origin, Port};
use crate::finding::SourceFile;
use crate::written::At;

/// Origins under construction.
struct Origins<'a> {
    file: &'a Arc<SourceFile>,
    list: Vec<Origin>,
}

impl Origins<'_> {
    fn add(&mut self, name: &str, value: impl ToString, span: &Range<usize>, note: Option<String>) {
        self.list.push(Origin::new(self.file, span, name, value, note));
    }

    /// A value, where there is one.
    fn add_sourced<T: ToString>(&mut self, name: &str, value: Option<&Sourced<T>>) {
        if let Some(value) = value {
            self.add(name, value.value.to_string(), &value.span, value.note.clone());
        }
    }

    /// A list, at its first value; an empty list was written nowhere.
    fn add_list(&mut self, name: &str, values: &[At<String>], note: Option<String>) {
        if let Some(first) = values.first() {
            let texts: Vec<_> = values.iter().map(|value| value.as_str()).collect();
            self.add(name, texts.join(" "), &first.span, note);
        }
    }
}

/// The values of a node that come from the fleet's file.
pub(super) fn origins(
    file: &Arc<SourceFile>,
    written: &FleetToml,
    draft: &Draft<'_>,
    own: &Own,
) -> Vec<Origin> {
    let choices = &own.choices;
    let mut origins = Origins {
        file,
        list: Vec::new(),
    };
    origins.add("name", &draft.name, &draft.name_span, draft.name_note.clone());
    origins.add("cluster", &draft.cluster.value, &draft.cluster.span, None);
    origins.add("slot", draft.slot, &draft.slot_span, None);
    let address = super::dhcp::written(own.address.value);
    origins.add("address", address, &own.address.span, own.address.note.clone());
    origins.add_sourced("address6", own.address6.as_ref());
    origins.add_sourced("mac", own.mac.as_ref());
    origins.add_sourced("containers", own.containers.as_ref());
    origins.add_sourced("containers6", own.containers6.as_ref());
    if let Some(port) = &own.port {
        let Port {
            network,
            address,
            address6,
            mac,
        } = &port.value;
        let texts = [
            Some(network.clone()),
            Some(address.to_string()),
            address6.map(|address| address.to_string()),
            mac.map(|mac| mac.to_string()),
        ];
        let text = texts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        origins.add("internet", text, &port.span, None);
    }
    origins.add_sourced("network", Some(&choices.network));
    if let Some(network) = written.networks.get(&choices.network.value) {
        let note = Some(format!("network {}", choices.network.value));
        origins.add(
            "subnet",
            &network.subnet.value,
            &network.subnet.span,
            note.clone(),
        );
        let single = [
            ("gateway", &network.gateway),
            ("subnet6", &network.subnet6),
            ("gateway6", &network.gateway6),
        ];
        for (name, value) in single {
            if let Some(value) = value {
                origins.add(name, &value.value, &value.span, note.clone());
            }
        }
        origins.add_list("name-servers", &network.name_servers, note);
    }
    origins.add_sourced("role", Some(&choices.role));
    if let Some(role) = written.roles.get(&choices.role.value) {
        origins.add_list(
            "overlays",
            &role.overlays,
            Some(format!("role {}", choices.role.value)),
        );
        origins.add_list(
            "container-image",
            &role.container_image,
            Some(format!("role {}", choices.role.value)),
        );
    }
    origins.add_sourced("board", Some(&choices.board));
    origins.add_sourced("layout", Some(&choices.layout));
    origins.add_sourced("governor", choices.governor.as_ref());
    origins.add_sourced("zram", choices.zram.as_ref());
    if let Some(first) = written.admin_keys.first() {
        let comments: Vec<_> = written.admin_keys.iter().map(|key| key_name(key)).collect();
        origins.add("admin-keys", comments.join(", "), &first.span, None);
    }
    origins.add_list("time-servers", &written.time_servers, None);
    let system = [
        ("domain", &written.system.domain),
        ("time-zone", &written.system.time_zone),
        ("locale", &written.system.locale),
    ];
    for (name, value) in system {
        if let Some(value) = value {
            origins.add(name, &value.value, &value.span, None);
        }
    }
    origins.list
}

/// How people know a key: by its comment, else by its type.
fn key_name(line: &str) -> &str {
    line.splitn(3, ' ')
        .nth(2)
        .or_else(|| line.split(' ').next())
        .unwrap_or(line)
}
