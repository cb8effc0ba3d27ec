//! A base that OpenRC starts: services in runlevels instead of units.

use engine::Engine;
use engine::tarball::Tarball;
use formats::layer::Body;
use model::sources::{Distribution, Init, Platform};
use stages::rootfs::{Base, BaseLayers, PackageSet, RoleInputs, RoleLayers, role_layers};

use crate::support::TIME;
use crate::workshop::{Workshop, write_tar};

/// A stage3 with OpenRC.
#[derive(Debug)]
struct OpenRc(Tarball);

impl Base for OpenRc {
    fn layers(&self, engine: &Engine, zstd: u8, sets: &[&PackageSet]) -> anyhow::Result<Vec<BaseLayers>> {
        self.0.layers(engine, zstd, sets)
    }

    fn platform(&self) -> Platform {
        Platform {
            distribution: Distribution::Gentoo,
            init: Init::OpenRc,
        }
    }
}

fn base(workshop: &Workshop) -> OpenRc {
    let path = workshop.folder.path().join("openrc.tar");
    let files = [
        ("etc/init.d/sshd", "#!/sbin/openrc-run\n"),
        ("etc/init.d/net.lo", ""),
    ];
    let links = [("etc/init.d/net.eth0", "net.lo"), ("etc/init.d/gone", "nowhere")];
    write_tar(&path, &files, &links);
    OpenRc(Tarball::from_file(&path).unwrap())
}

fn role<'a>(workshop: &'a Workshop, base: &OpenRc, overlay: &'a str) -> anyhow::Result<RoleLayers<'a>> {
    let overlay = workshop.overlay(&[("overlay.toml", overlay)]);
    let project = &workshop.project;
    role_layers(
        &workshop.engine,
        &RoleInputs {
            fleet: &project.fleet,
            role: &project.fleet.roles["hypervisor"],
            overlays: &[&overlay],
            container_image: &[],
            board: &project.boards["odroid-c2"],
            layout: &project.layouts["card"],
            operator: &workshop.operator,
            known: &workshop.known,
            base,
            modules: &workshop.modules,
            time: TIME,
        },
    )
}

#[test]
fn services_get_the_links_of_rc_update_and_units_none() {
    let workshop = Workshop::new();
    let overlay = "description = \"a\"\n[units]\nenable = [\"sshd.service\"]\n\
                   [runlevels]\ndefault = [\"sshd\", \"net.eth0\"]\n";
    let layers = role(&workshop, &base(&workshop), overlay).unwrap();
    let links: Vec<_> = layers
        .overlay
        .entries
        .iter()
        .filter_map(|entry| match &entry.body {
            Body::Symlink(target) => Some((
                String::from_utf8_lossy(&entry.path).into_owned(),
                String::from_utf8_lossy(target).into_owned(),
            )),
            _ => None,
        })
        .collect();
    let link = |name: &str| {
        (
            format!("etc/runlevels/default/{name}"),
            format!("/etc/init.d/{name}"),
        )
    };
    assert_eq!(links, [link("net.eth0"), link("sshd")]);
}

#[test]
fn a_service_that_nothing_brings_is_told_with_its_line() {
    let workshop = Workshop::new();
    for service in ["ntpd", "gone"] {
        let overlay = format!("description = \"a\"\n[runlevels]\nboot = [\"{service}\"]\n");
        let error = role(&workshop, &base(&workshop), &overlay).err().unwrap();
        let error = format!("{error:#}");
        let expected = format!("/etc/init.d has no service `{service}` that could start in runlevel boot");
        assert!(error.contains(&expected), "{error}");
        assert!(error.contains("overlays/test/overlay.toml:3:"), "{error}");
    }
}
