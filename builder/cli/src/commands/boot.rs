//! `portadc boot`

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use engine::Preflight;
use formats::manifest::Manifest;
use formats::units::Bytes;
use identity::IdentityStore;
use model::finding::Findings;
use model::fleet::{Fleet, Node, Uplink};
use model::sources::Init;
use serde_json::json;
use stages::boot::{Access, BootRequest, Expected, Outcome, check, check_taps, on_console, requirements};
use stages::build::{ImageFiles, KERNEL};
use stages::delta_base::ImageFormat;
use stages::rootfs::local_interface;

use crate::arguments::{BootArguments, Common};
use crate::output::{VERIFICATION_FAILED, print, print_json, table};
use crate::workplace;

/// The card that a check tries the image on: larger than any image, so that growing shows.
const CARD: Bytes = Bytes::gib(4);

/// Boots a node: to check it, or with its console.
pub fn run(common: &Common, arguments: &BootArguments) -> Result<ExitCode> {
    let project = workplace::project(common)?;
    let node = project.node(&arguments.node).map_err(Findings::from)?;
    check_taps(&arguments.tap, node)?;
    let mut preflight = Preflight::default();
    preflight.programs(requirements());
    preflight.finish()?;

    let out = workplace::output_folder(common, &project.root);
    let files = ImageFiles::new(&out.join("images"), &node.name, ImageFormat::Plain);
    if files.finished().is_none() {
        bail!(
            "there is no finished image of {0} in {1}: run `portadc build {0}`",
            node.name,
            out.display()
        );
    }
    let network = &project.fleet.networks[&node.network];
    let request = BootRequest {
        node,
        network,
        internet: node
            .internet
            .as_ref()
            .map(|port| (port, &project.fleet.networks[&port.network])),
        image: &files.image,
        taps: &arguments.tap,
        memory: Bytes::mib(arguments.memory),
    };
    if !arguments.check {
        on_console(&request)?;
        return Ok(ExitCode::SUCCESS);
    }

    let manifest: Manifest = std::fs::read(&files.manifest)
        .map_err(anyhow::Error::from)
        .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
        .with_context(|| format!("cannot read {}", files.manifest.display()))?;
    let kernel = manifest.inputs.iter().find(|input| input.name == KERNEL);
    let release = kernel
        .and_then(|kernel| kernel.version.as_deref())
        .context("the manifest names no kernel")?;
    let sources = project.sources.sets.get(&manifest.sources).with_context(|| {
        format!(
            "the image of {} was made of the source set `{}`, which sources.toml no longer has: build it again",
            node.name, manifest.sources
        )
    })?;
    let store = IdentityStore::open(&project.root.join("identity"))?;
    let operator = store.operator()?;
    let platform = sources.base.platform();
    let layout = project.layout_of(&node.role, &node.layout, platform);
    let root = layout.root().context("the layout has no root file system")?;
    let access = Access {
        known_hosts: store.write_known_hosts(&project.fleet)?,
        operator_key: operator.unattended()?.to_owned(),
        patience: Duration::from_secs(arguments.timeout),
        card: CARD,
    };
    let identity = store.node(&node.name)?;
    let init = platform.init;
    let role = &project.fleet.roles[&node.role];
    // Where OpenRC starts services, overlays of containers and of rules are skipped.
    let with_systemd = init == Init::Systemd;
    let containers = project.fleet.containers.iter();
    let containers =
        containers.filter(|container| with_systemd && container.node == node.name && container.autostart);
    let expected = Expected {
        hostname: &node.name,
        init,
        machine_id: identity.machine_id.trim(),
        interface: local_interface(node),
        address: format!("{}/{}", request.address(), network.prefix),
        dhcp: node.address.is_none(),
        kernel_release: release,
        containers: containers.map(|container| container.name.as_str()).collect(),
        gateway: gateway_of_containers(&project.fleet, node),
        system: &project.fleet.system,
        kernel_arguments: project.kernel_arguments(&node.role, platform),
        sysctls: project.sysctls_of(&node.role, platform).collect(),
        users: project.users_of(&node.role, platform),
        rules: with_systemd && (role.containers || role.gateway),
        root,
        card: CARD,
    };
    let engine = workplace::engine(common, &project.root)?;
    let mut checked = check(&engine, &request, &access, &expected)?;
    let outcomes = &checked.outcomes;
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    if common.json {
        let mut told = json!({ "ssh-seconds": checked.answered.as_secs(), "checks": outcomes });
        if arguments.keep {
            told["login"] = json!(checked.login);
        }
        print_json(&told)?;
    } else {
        print(&report(outcomes))?;
        print(&match failed {
            0 => format!("{}: healthy, all {} checks passed\n", node.name, outcomes.len()),
            _ => format!("{}: {failed} of {} checks failed\n", node.name, outcomes.len()),
        })?;
        if arguments.keep {
            print(&format!("it goes on running: ssh {}\n", in_shell(&checked.login)))?;
        }
    }
    if arguments.keep {
        checked.wait()?;
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        VERIFICATION_FAILED.into()
    })
}

/// The router that a node's containers reach without its knowing them: none where it has to have routes to them.
fn gateway_of_containers(fleet: &Fleet, node: &Node) -> Option<Ipv4Addr> {
    let network = fleet.networks.get(&node.network)?;
    network
        .gateway
        .filter(|gateway| network.uplink != Uplink::Routed && Some(*gateway) != node.address)
}

/// Arguments as a shell reads them.
fn in_shell(arguments: &[String]) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-+=:,.@/".contains(character);
    let words = arguments.iter().map(|argument| {
        if !argument.is_empty() && argument.chars().all(plain) {
            argument.clone()
        } else {
            format!("'{}'", argument.replace('\'', r"'\''"))
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A row for each check; what was expected only where it is not what was found.
fn report(outcomes: &[Outcome]) -> String {
    let rows: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            let found = if outcome.found.is_empty() {
                "none"
            } else {
                &outcome.found
            };
            vec![
                if outcome.passed { "ok" } else { "FAILED" }.to_owned(),
                outcome.check.clone(),
                if outcome.passed {
                    found.to_owned()
                } else {
                    format!("{found} (expected: {})", outcome.expected)
                },
            ]
        })
        .collect();
    table(&rows, &[])
}
