"""The table of packages: what stands in packages.toml, made whole by what Debian's packages say."""

import tomllib
from pathlib import Path

from gentoo_mirror.versions import gentoo_version

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent

# The time of files that come from nowhere else: nothing depends on when they were checked out.
TIME = 1750000000

KEYS = {
    "debs", "version", "slot", "system", "rdepend", "iuse", "remove", "links", "runlevels", "move", "modes", "filecaps", "portage",
}  # fmt: skip


class Recipe:
    """How one Gentoo package is made."""

    def __init__(self, name, entry):
        if unknown := set(entry) - KEYS:
            raise SystemExit(f"error: packages.toml: {name}: unknown {', '.join(sorted(unknown))}")
        self.name = name
        self.category, self.pn = name.split("/")
        self.debs = entry["debs"]
        self.version = entry.get("version")
        self.slot = entry.get("slot", "0")
        self.system = entry.get("system", False)
        self.rdepend = entry.get("rdepend", "")
        self.iuse = entry.get("iuse", "").split()
        self.remove = entry.get("remove", [])
        self.links = dict(entry.get("links", {}))
        for runlevel, services in entry.get("runlevels", {}).items():
            self.links |= {f"etc/runlevels/{runlevel}/{service}": f"/etc/init.d/{service}" for service in services}
        self.move = entry.get("move", {})
        self.modes = entry.get("modes", {})
        self.filecaps = entry.get("filecaps")
        self.portage = entry.get("portage", False)
        self.description = f"The {self.pn} of this test's Gentoo"
        self.homepage = "https://www.gentoo.org/"

    @property
    def pf(self):
        return f"{self.pn}-{self.version}"

    @property
    def atom(self):
        """How others depend on it: bound to its subslot where it has one."""
        slot, _, subslot = self.slot.partition("/")
        if subslot:
            return f"{self.name}:{slot}="
        return self.name if slot == "0" else f"{self.name}:{slot}"


class Table:
    """All packages, and the accounts."""

    def __init__(self):
        document = tomllib.loads((HERE / "packages.toml").read_text())
        self.flags = document["flags"]
        self.without = document["without"]
        self.dependencies = document["dependencies"]
        self.groups = document["groups"]
        self.users = document["users"]
        self.recipes = [Recipe(name, entry) for name, entry in document["package"].items()]
        # What two packages have, as systemd and systemd-utils do, the others need of the first.
        self.owners = {deb: recipe for recipe in reversed(self.recipes) for deb in recipe.debs}

    def debs(self):
        return sorted(self.owners)

    def complete(self, packages):
        """Versions and dependencies from Debian's packages, of which `packages` has every one by name."""
        wrong = []
        for recipe in self.recipes:
            if recipe.debs:
                first = packages[recipe.debs[0]]
                recipe.version = recipe.version or gentoo_version(first.version)
                recipe.description = first.description
                recipe.homepage = first.homepage
                if recipe.version is None:
                    wrong.append(f"{recipe.name} needs a `version`: {first.version}")
            wrong += self._depend(recipe, packages)
        if wrong:
            raise SystemExit("error: packages.toml:\n  " + "\n  ".join(wrong))

    def _depend(self, recipe, packages):
        """Makes the dependencies whole; what no package of the table has is returned as complaints."""
        wrong = []
        plain, flagged = set(), {}
        for deb in recipe.debs:
            for choices in packages[deb].depends:
                if any(choice in recipe.debs for choice in choices):
                    continue
                known = [choice for choice in choices if choice in self.owners or choice in self.dependencies]
                if not known:
                    wrong.append(f"{recipe.name}: no package has what {deb} needs: {' | '.join(choices)}")
                    continue
                needed = known[0]
                atom = self.dependencies.get(needed)
                if atom is None:
                    atom = self.owners[needed].atom
                if atom and needed in self.flags:
                    flagged.setdefault(self.flags[needed], set()).add(atom)
                elif atom:
                    plain.add(atom)
        lines = sorted(plain)
        for flag, atoms in sorted(flagged.items()):
            recipe.iuse.append(f"+{flag}")
            # What the package needs in any case is no matter of a flag.
            if atoms := atoms - plain:
                lines.append(f"{flag}? ( {' '.join(sorted(atoms))} )")
            if flag in self.without:
                lines.append(f"!{flag}? ( {self.without[flag]} )")
        if recipe.rdepend:
            lines.append(recipe.rdepend)
        recipe.rdepend = "\n\t".join(lines)
        return wrong
