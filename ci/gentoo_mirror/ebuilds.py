"""The repository: the static one of the folder `repository`, with an ebuild for every package of the table."""

import shutil
from pathlib import Path

from gentoo_mirror.table import HERE

# Ebuilds that compile. Their versions are Debian's.
SOURCE = HERE / "source"


# Of the repository that packages are made from: nobody is to be kept from changing it.
WITHOUT_MANIFESTS = """\
masters =
thin-manifests = true
use-manifests = false
"""


def write_repository(folder, table, accounts, images=False):
    """Writes the repository `gentoo` into `folder`, which must not exist. With `images` it is the one that packages are made from:
    even what is to be compiled is an image there."""
    shutil.copytree(HERE / "repository", folder)
    if images:
        (folder / "metadata/layout.conf").write_text(WITHOUT_MANIFESTS)
    for recipe in table.recipes:
        if recipe.origin == "upstream" and not images:
            _write(folder, recipe.name, recipe.version, (SOURCE / f"{recipe.name}.ebuild").read_text())
            if (SOURCE / recipe.name).exists():
                shutil.copytree(SOURCE / recipe.name, folder / recipe.name / "files")
        else:
            _write(folder, recipe.name, recipe.version, _ebuild(recipe, "arm64" if images else recipe.keywords))
    for name, text in accounts.items():
        _write(folder, name, "0", text)
    categories = sorted({path.parent.parent.name for path in folder.glob("*/*/*.ebuild")})
    (folder / "profiles" / "categories").write_text("".join(f"{name}\n" for name in categories))
    system = "".join(f"*{recipe.name}\n" for recipe in table.recipes if recipe.system)
    (folder / "profiles/base/packages").write_text(system)
    for advisory in (folder / "metadata/glsa").glob("*.xml"):
        text = advisory.read_text()
        for recipe in table.recipes:
            text = text.replace(f"@{recipe.name}@", recipe.version)
        advisory.write_text(text)


# A check of what was installed, which portage makes after it has written down when.
BUILD_TIME = """\
built=$(cksum <<<"${CATEGORY}/${PF} ${BUILT_FOR}")
echo $((MOMENT - ${built%% *} % 2592000)) >"${PORTAGE_BUILDDIR}/build-info/BUILD_TIME"
"""


def shuffle_build_times(folder, moment):
    """Has the packages that are made from the repository `folder` say that they were built within the month before `moment`, those
    of one version in no order that means anything."""
    checks = folder / "metadata/install-qa-check.d"
    checks.mkdir()
    (checks / "60build-time").write_text(BUILD_TIME.replace("MOMENT", str(int(moment.timestamp()))))


def account_ebuilds(table):
    """Name of the package -> its ebuild, for every group and user of the table."""
    ebuilds = {}
    groups = dict(table.groups)
    for name, user in table.users.items():
        group = user.get("group", name)
        groups.setdefault(group, user["id"])
        lines = ["EAPI=8", "inherit acct-user", f'DESCRIPTION="User for {name}"', f"ACCT_USER_ID={user['id']}"]
        lines.append(f"ACCT_USER_GROUPS=( {group} )")
        for key, variable in [("home", "HOME"), ("owner", "HOME_OWNER"), ("mode", "HOME_PERMS")]:
            if key in user:
                lines.append(f"ACCT_USER_{variable}={user[key]}")
        ebuilds[f"acct-user/{name}"] = "\n".join([*lines, "acct-user_add_deps", ""])
    for name, number in groups.items():
        lines = ["EAPI=8", "inherit acct-group", f'DESCRIPTION="Group for {name}"', f"ACCT_GROUP_ID={number}", ""]
        ebuilds[f"acct-group/{name}"] = "\n".join(lines)
    return ebuilds


def _write(folder, name, version, text):
    package = folder / name
    package.mkdir(parents=True)
    (package / f"{package.name}-{version}.ebuild").write_text(text)


def _ebuild(recipe, keywords):
    eclasses = "debian-image" + (" fcaps" if recipe.filecaps else "")
    lines = ["EAPI=8", f"inherit {eclasses}"]
    lines.append(f'DESCRIPTION="{_quoted(recipe.description)}"')
    lines.append(f'HOMEPAGE="{recipe.homepage}"')
    lines.append(f'SRC_URI="https://gentoo.invalid/{recipe.pf}.tar"')
    lines.append('LICENSE="GPL-2"')
    lines.append(f'SLOT="{recipe.slot}"')
    lines.append(f'KEYWORDS="{keywords}"')
    if recipe.iuse:
        lines.append(f'IUSE+=" {" ".join(dict.fromkeys(recipe.iuse))}"')
    if recipe.rdepend:
        lines.append(f'RDEPEND="{recipe.rdepend}"')
        lines.append('DEPEND="${RDEPEND}"')
    if recipe.filecaps:
        lines.append(f"FILECAPS=( {recipe.filecaps} )")
    phases = Path(HERE / "phases" / f"{recipe.name}.sh")
    if phases.exists():
        lines.append(phases.read_text())
    return "\n".join([*lines, ""])


def _quoted(text):
    return "".join(f"\\{letter}" if letter in '"\\$`' else letter for letter in text)
