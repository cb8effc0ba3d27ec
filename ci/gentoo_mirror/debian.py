"""Debian's packages: fetched from the mirror that the host's apt is configured for, in an apt of our own."""

import os
import re
import subprocess
import tarfile
import tomllib
from pathlib import Path

CONFIGURATION = """\
APT::Architecture "ARCHITECTURE";
APT::Architectures { "ARCHITECTURE"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Dir::State "FOLDER/state";
Dir::State::status "FOLDER/status";
Dir::Cache "FOLDER/cache";
Dir::Etc::sourcelist "FOLDER/sources.list";
Dir::Etc::sourceparts "-";
"""

# Who signs the archive, for hosts whose own suite is another one.
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Archive:
    """An apt that knows one suite for one architecture and has nothing installed; the host's stays as it is."""

    def __init__(self, folder, project, architecture="arm64"):
        self.folder = folder
        lock = tomllib.loads((project / "sources.lock").read_text())
        suite = lock["debian"]["base"]["archive"]["suite"]
        for name in ["state/lists/partial", "cache/archives/partial", "debs"]:
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        self.site = host_mirror().rstrip("/")
        archives = [f"{kind} [signed-by={KEYRING}] {self.site} {suite} main\n" for kind in ("deb", "deb-src")]
        (folder / "sources.list").write_text("".join(archives))
        configuration = CONFIGURATION.replace("FOLDER", str(folder)).replace("ARCHITECTURE", architecture)
        (folder / "apt.conf").write_text(configuration)
        self.environment = dict(os.environ, APT_CONFIG=str(folder / "apt.conf"))

    def update(self):
        """Asks the mirror for its lists; without it those of the last time have to do."""
        done = subprocess.run(["apt-get", "-qq", "update"], env=self.environment, check=False)
        if done.returncode != 0:
            if not any((self.folder / "state/lists").glob("*_Packages*")):
                raise SystemExit("error: the Debian mirror does not answer, and it was never asked before")
            print("the Debian mirror does not answer: its lists are those of the last time")

    def packages(self, names):
        """The newest package of each name, downloaded: name -> Package."""
        said = self._apt(["apt-cache", "show", "--no-all-versions", *names])
        found = {}
        for stanza in said.split("\n\n"):
            fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", stanza, re.MULTILINE))
            if fields:
                found[fields["Package"]] = Package(fields, self.folder / "debs")
        if missing := sorted(set(names) - set(found)):
            raise SystemExit(f"error: the Debian mirror lacks {' '.join(missing)}")
        wanted = [package for package in found.values() if not package.path.exists()]
        if wanted:
            asked = [f"{package.name}={package.version}" for package in wanted]
            subprocess.run(["apt-get", "-qq", "download", *asked], env=self.environment, check=True, cwd=self.folder / "debs")
        return found

    def upstream(self, package):
        """The source of `package` as its authors released it: the tarball that Debian keeps unchanged beside its own changes."""
        name, version = package.source
        said = self._apt(["apt-cache", "showsrc", "--only-source", name])
        for stanza in said.split("\n\n"):
            sums = re.search(r"^Checksums-Sha256:\n((?: .*\n?)+)", stanza, re.MULTILINE)
            if sums and re.search(rf"^Version: {re.escape(version)}$", stanza, re.MULTILINE):
                break
        else:
            raise SystemExit(f"error: the Debian mirror lacks the source of {name} {version}")
        [(sha256, file)] = re.findall(r"^ ([0-9a-f]{64}) \d+ (\S+\.orig\.tar\.[a-z0-9]+)$", sums[1], re.MULTILINE)
        folder = re.search(r"^Directory: (.+)$", stanza, re.MULTILINE)[1]
        path = self.folder / "sources" / file
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            # Not `apt-get source`: a mirror need not have Debian's own part of it.
            command = ["/usr/lib/apt/apt-helper", "-qq", "download-file", f"{self.site}/{folder}/{file}"]
            subprocess.run([*command, f"{path}.part", f"SHA256:{sha256}"], env=self.environment, check=True)
            Path(f"{path}.part").rename(path)
        return path

    def _apt(self, command):
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout


class Package:
    """A Debian package: its fields and its file."""

    def __init__(self, fields, folder):
        self.name = fields["Package"]
        self.version = fields["Version"]
        self.description = fields["Description"]
        self.homepage = fields.get("Homepage", "https://www.debian.org/")
        self.sha256 = fields["SHA256"]
        # "name (version)"; what is not said is the package's own.
        source = re.fullmatch(r"(\S+)(?: \((\S+)\))?", fields.get("Source", self.name))
        self.source = (source[1], source[2] or self.version)
        self.depends = [
            [re.split(r"[ :(]", choice.strip(), maxsplit=1)[0] for choice in depend.split("|")]
            for field in ("Pre-Depends", "Depends")
            for depend in fields.get(field, "").split(",")
            if depend.strip()
        ]
        # As apt names what it downloads.
        version = self.version.replace(":", "%3a")
        self.path = folder / f"{self.name}_{version}_{fields['Architecture']}.deb"

    def members(self):
        """Its files: pairs of TarInfo and what a regular file holds."""
        unpacked = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(self.path)], stdout=subprocess.PIPE)
        with tarfile.open(fileobj=unpacked.stdout, mode="r|") as tar:
            for member in tar:
                yield member, tar.extractfile(member).read() if member.isreg() else None
        unpacked.stdout.close()
        if unpacked.wait() != 0:
            raise SystemExit(f"error: dpkg-deb cannot read {self.path}")


def host_architecture():
    said = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout
    return said.strip()


def host_mirror():
    """The mirror that the host's apt takes Debian's packages from."""
    said = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(COMPONENT) $(RELEASE) $(SIGNED_BY)", "Created-By: Packages"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    sites = [line.split(" ", 3) for line in said.splitlines()]
    # Nothing says which archive is Debian's main one: the one whose key is Debian's and that has no security fixes only.
    sites = [entry for entry in sites if entry[1] == "main" and "-security" not in entry[2]]
    sites.sort(key=lambda entry: "debian-archive" not in entry[3])
    if not sites:
        raise SystemExit("error: the host's apt is configured for no Debian mirror")
    return sites[0][0]
