//! What the portage of a node is told of packages from a source of one's own, whose signer the stage3 does not know.

use std::sync::Arc;

use formats::layer::{Body, Layer};
use formats::units::Time;
use model::sources::{BaseSource, PackageSource};
use stages::rootfs::{Base, GentooBase};
use testmirror::gentoo_mirror::{Binary, Gentoo};
use testmirror::gentoo_project::{base, files_of, wanting, written};
use testmirror::keys::{Cert, Parse, fingerprint, key, pinning, write_keyring};
use testmirror::miniature::Project;
use testmirror::workbench::offline;

/// The text of a file in a layer.
fn file(layer: &Layer, path: &str) -> Option<String> {
    let found = layer.entries.iter().find(|entry| entry.path == path.as_bytes())?;
    let Body::File(content) = &found.body else {
        return None;
    };
    Some(String::from_utf8(content.read(&layer.blob, 1 << 20).unwrap()).unwrap())
}

/// The layer of a project's packages.
fn packages_of(project: &Project) -> Layer {
    let BaseSource::Stage3(source) = &project.set.base else {
        panic!("the gentoo set has no stage3")
    };
    let offline = offline();
    let base = GentooBase {
        files: files_of(project, None, &offline),
        source,
        time: Time::from_seconds(1_790_000_000),
    };
    let mut made = base
        .layers(&project.bench.engine, 3, &[&project.needs.packages])
        .unwrap();
    made[0].layers.pop().unwrap()
}

#[test]
fn a_node_knows_what_it_was_made_of_and_whose_packages_to_trust() {
    let mut mirror = Gentoo::new();
    let own = key("own", 50);
    mirror.packages[3] = Binary {
        signer: Some(own.clone()),
        ..Binary::new("net-misc/chrony-4.7")
            .with("KEYWORDS", "~arm64")
            .with("IUSE", "+nts systemd")
            .with("USE", "systemd")
    };
    let mut project = wanting(&mirror, &["net-misc/chrony"]);
    write_keyring(
        &project.bench.folder.path().join("keys/own.pgp"),
        &[&own, &key("other", 9)],
    );
    let place = written(&mut project).packages[0].place.clone();
    written(&mut project).packages = vec![PackageSource {
        name: "own".into(),
        place,
        signer: Some(Arc::new(pinning("own", "keys/own.pgp", vec![fingerprint(&own)]))),
    }];
    project.update().unwrap();
    // The lock has all of it: a build asks for no keyring.
    std::fs::remove_file(project.bench.folder.path().join("keys/own.pgp")).unwrap();
    let layer = packages_of(&project);
    let accepted = file(&layer, "etc/portage/package.accept_keywords/portadc").unwrap();
    assert!(
        accepted.ends_with("\n=net-misc/chrony-4.7 ~arm64\n"),
        "{accepted}"
    );
    let flags = file(&layer, "etc/portage/package.use/portadc").unwrap();
    assert!(flags.ends_with("\n=net-misc/chrony-4.7 -nts\n"), "{flags}");
    let binrepos = file(&layer, "etc/portage/binrepos.conf/portadc.conf").unwrap();
    assert!(
        binrepos.contains("\n[own]\n") && binrepos.contains("\nverify-signature = true\n"),
        "{binrepos}"
    );
    let settings = file(&layer, "etc/portage/make.conf").unwrap();
    assert!(
        settings.contains("\nPORTAGE_TRUST_HELPER=\"/usr/lib/portadc/trust-keys\"\n"),
        "{settings}"
    );
    let keys = file(&layer, "usr/share/openpgp-keys/portadc.asc").unwrap();
    let cert = Cert::from_bytes(keys.as_bytes()).unwrap();
    assert_eq!(fingerprint(&cert), fingerprint(&own));
    assert!(!cert.is_tsk(), "a secret key is on the image");
    // Nothing is left for the first start.
    assert!(
        !layer
            .entries
            .iter()
            .any(|entry| entry.path.starts_with(b"var/lib/portadc"))
    );
    assert!(!project.lock_text().unwrap().contains("PRIVATE"));
    assert_eq!(base(&project).sources["own"].keys.as_deref(), Some(&keys[..]));
}

#[test]
fn a_node_of_the_stage3s_own_packages_needs_no_word_more() {
    let mirror = Gentoo::new();
    let project = wanting(&mirror, &["net-misc/chrony"]);
    project.update().unwrap();
    let layer = packages_of(&project);
    for path in [
        "package.accept_keywords/portadc",
        "package.use/portadc",
        "make.conf",
    ] {
        assert_eq!(file(&layer, &format!("etc/portage/{path}")), None, "{path}");
    }
    assert_eq!(base(&project).sources["official"].keys, None);
}
