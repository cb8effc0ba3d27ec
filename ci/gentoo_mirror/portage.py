"""Portage, run away from the host: its configuration, its repository and everything it writes are in our folders."""

import os
import shutil
import subprocess
from pathlib import Path

FEATURES = (
    "-sandbox -usersandbox -userpriv -userfetch -usersync -network-sandbox -ipc-sandbox -pid-sandbox -mount-sandbox "
    "-cgroup -news -strict -merge-sync -preserve-libs -protect-owned "
    "xattr nostrip parallel-install binpkg-multi-instance compress-index"
)

# By name, as the repository has them below `profiles`. There is a stage3 of the first two.
PROFILES = {
    "systemd": "default/linux/arm64/23.0/systemd",
    "openrc": "default/linux/arm64/23.0",
    "desktop": "default/linux/arm64/23.0/desktop/gnome/systemd",
}
STAGE3S = ("systemd", "openrc")


class Portage:
    """Portage that knows the repository and the packages that it is given, and works in the folder `work`. The systems it
    works on are of the profile `flavor`.

    `gnupg` is the folder with the key that packages are checked with; with `signing_key` (a fingerprint) it signs what it
    makes, without it takes only packages that are signed. `binhost` is the URL of further packages.
    """

    def __init__(self, venv, repository, packages, work, gnupg, flavor, signing_key=None, binhost=""):
        self.work = work
        self.system = work / "system"
        for name in ["tmp", "distfiles", "etc/portage"]:
            (work / name).mkdir(parents=True, exist_ok=True)
        # Portage takes the environment it runs in for a system of its own and looks there for configuration and
        # installed packages: each run has another one, of links to the files of the one that all share.
        subprocess.run(["cp", "-as", str(venv), str(self.system)], check=True)
        for name in ["var/tmp", "var/db/pkg", "var/log", "var/lib/portage", "var/cache/edb"]:
            (self.system / name).mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.system / "etc/portage", ignore_errors=True)
        (self.system / "etc/portage").symlink_to(work / "etc/portage")
        # Portage asks for GNU tar by this name.
        (self.system / "bin/gtar").symlink_to(shutil.which("tar"))
        (work / "etc/portage/make.profile").symlink_to(repository / "profiles" / PROFILES[flavor])
        settings = {
            "ACCEPT_LICENSE": "*",
            "BINPKG_COMPRESS": "zstd",
            "BINPKG_FORMAT": "gpkg",
            "BINPKG_GPG_VERIFY_GPG_HOME": gnupg,
            "DISTDIR": work / "distfiles",
            # For metadata/install-qa-check.d of the repository that packages are made from.
            "BUILT_FOR": flavor,
            "FEATURES": f"{FEATURES} {'binpkg-signing' if signing_key else 'binpkg-request-signature'}",
            "GPG_VERIFY_GROUP_DROP": "root",
            "GPG_VERIFY_USER_DROP": "root",
            "PKGDIR": packages,
            "PORTAGE_BINHOST": binhost,
            "PORTAGE_COMPRESS": "",
            "PORTAGE_TMPDIR": work / "tmp",
        }
        if signing_key:
            settings |= {
                "BINPKG_GPG_SIGNING_BASE_COMMAND": "gpg --batch --yes --pinentry-mode loopback --sign --armor [PORTAGE_CONFIG]",
                "BINPKG_GPG_SIGNING_DIGEST": "SHA512",
                "BINPKG_GPG_SIGNING_GPG_HOME": gnupg,
                "BINPKG_GPG_SIGNING_KEY": signing_key,
            }
        (work / "etc/portage/make.conf").write_text("".join(f'{name}="{text}"\n' for name, text in settings.items()))
        self.environment = {
            "EPREFIX": "",
            "HOME": str(work),
            "LC_ALL": "C.UTF-8",
            "NOCOLOR": "true",
            "PATH": f"{self.system}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PORTAGE_CONFIGROOT": str(work),
            "PORTAGE_GRPNAME": "root",
            "PORTAGE_REPOSITORIES": f"[DEFAULT]\nmain-repo = gentoo\n[gentoo]\nlocation = {repository}\nauto-sync = no\n",
            "PORTAGE_USERNAME": "root",
            "TERM": "dumb",
        }

    def command(self, arguments):
        """emerge, called so that it takes our environment for its own."""
        return [str(self.system / "bin/python3"), str(self.system / "bin/emerge"), *arguments]

    def environment_of(self, root):
        """What emerge has to be told to work on the tree `root`."""
        return dict(self.environment, ROOT=str(root), SYSROOT=str(root))

    def emerge(self, root, *arguments):
        """Runs emerge for the tree `root`; what it says is shown where it fails."""
        root.mkdir(parents=True, exist_ok=True)
        log = self.work / "emerge.log"
        with open(log, "ab") as file:
            done = subprocess.run(
                self.command(arguments),
                env=self.environment_of(root),
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode != 0:
            said = log.read_text(errors="replace").splitlines()[-60:]
            raise SystemExit("\n".join([*said, f"error: emerge {' '.join(arguments)} failed; all it said: {log}"]))


def pretend_installed(root, table):
    """What portage looks up when it binds `:=`: an entry of every package, as if it were installed in `root`."""
    for recipe in table.recipes:
        entry = root / "var/db/pkg" / recipe.category / recipe.pf
        entry.mkdir(parents=True)
        flags = [flag.lstrip("+") for flag in recipe.iuse if flag.startswith("+")]
        fields = {
            "CATEGORY": recipe.category,
            "CONTENTS": "",
            "COUNTER": "1",
            "EAPI": "8",
            "IUSE": " ".join(recipe.iuse),
            "KEYWORDS": "arm64",
            "PF": recipe.pf,
            "SLOT": recipe.slot,
            "USE": " ".join(flags),
            "repository": "gentoo",
        }
        for name, value in fields.items():
            (entry / name).write_text(f"{value}\n" if value else "")


def virtual_environment(project):
    """The Python environment that has portage."""
    said = subprocess.run([project / "ci/portage-venv"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return Path(said.strip())


def processors():
    return len(os.sched_getaffinity(0))
