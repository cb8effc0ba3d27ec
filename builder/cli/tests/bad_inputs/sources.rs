//! Sources, their lock, and what is fetched.

use std::fs;

use testkit::server::{Answer, Server};

use crate::project::{Project, assert_fails};

#[test]
fn sources_and_lock() {
    let offline = ["build", "red-07", "--offline", "--locked"];
    let project = Project::new();
    project.remove("sources.lock");
    project.fails(&offline, 1, &["sources.lock", "portadc update"]);
    project.write("sources.lock", "[debian");
    project.fails(&offline, 1, &["sources.lock"]);

    let project = Project::new();
    project.fails(&offline, 1, &["the base is not in the cache", "offline"]);
    project.fails(
        &["build", "red-07", "--sources", "gentu"],
        1,
        &["gentu", "gentoo"],
    );
    // The keys of that set are nowhere: no server is named, and no package of this machine has them.
    let sources = fs::read_to_string(project.path("sources.toml")).unwrap();
    let nowhere = |line: &&str| !line.starts_with("wkd = ") && !line.starts_with("keyserver = ");
    let lines: Vec<&str> = sources.lines().filter(nowhere).collect();
    project.write("sources.toml", lines.join("\n"));
    project.fails(
        &["build", "red-07", "--sources", "gentoo"],
        1,
        &[
            "keys/kernel-org.asc",
            "is missing",
            "names no `wkd` or `keyserver`",
        ],
    );
    project.fails(
        &["keys", "--offline"],
        1,
        &[
            "`kernel-org` is missing",
            "`gentoo` is missing",
            "without `--offline`",
        ],
    );
    project.fails(&["keys", "gento"], 1, &["no signer `gento`", "gentoo"]);
    project.fails(
        &["keys", "debian"],
        1,
        &["no fingerprint", "debian-archive-keyring"],
    );
    assert!(!project.path("keys").exists());
    project.fails(&["update", "--offline"], 1, &["offline"]);
    project.fails(&["update", "--mirror", "file:///etc"], 1, &["file:///etc"]);
    // Nobody listens on port 1.
    project.fails(
        &["update", "--mirror", "http://127.0.0.1:1/debian"],
        1,
        &["127.0.0.1"],
    );
    // A mirror that is named is reached through apt's proxy, as the host's own is.
    let proxy = Server::start(|_| Answer::status(404));
    project.write("apt.conf", format!("Acquire::http::Proxy \"{}\";", proxy.url()));
    let output = project
        .command(&["update", "--mirror", "http://mirror.invalid/debian"])
        .env("APT_CONFIG", project.path("apt.conf"))
        .output()
        .unwrap();
    assert_fails(&output, 1, &["mirror.invalid", "the server answered 404"]);
    assert_eq!(
        proxy.requests()[0].path,
        "http://mirror.invalid/debian/dists/trixie/InRelease"
    );
    project.fails(&["update", "--sources", "gentoo"], 1, &["keys/kernel-org.asc"]);
    assert!(!project.path("out/images/red-07.img").exists());

    project.edit("sources.toml", "default = \"debian\"", "default = \"devuan\"");
    project.finds(&["devuan"]);
}

#[test]
fn what_is_not_as_its_hash_says_has_an_exit_code_of_its_own() {
    let project = Project::new();
    let lock: toml::Table = fs::read_to_string(project.path("sources.lock"))
        .unwrap()
        .parse()
        .unwrap();
    let kernel = &lock["debian"]["kernel"];
    let text = |name: &str| kernel[name].as_str().unwrap();
    let folder = project.path("cache/portadc/sources").join(text("sha256"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(text("file")), "garbage").unwrap();
    project.fails(
        &["kernel", "config", "--offline"],
        3,
        &[text("file"), "it has 7 bytes instead of"],
    );
}
