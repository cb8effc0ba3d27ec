"""Has the sources.toml of the working folder trust a stand-in for Gentoo's mirror: who signs there, and which kernel it has. Nothing
else is changed; where everything comes from, `--mirror` says.

    python3 ci/stand_in.py MIRROR
"""

import pathlib
import re
import sys


def main():
    mirror, sources = pathlib.Path(sys.argv[1]), pathlib.Path("sources.toml")
    [kernel] = mirror.glob("pub/linux/kernel/v*/linux-*.tar.xz")
    series = ".".join(re.search(r"linux-([0-9.]+)\.tar", kernel.name)[1].split(".")[:2])
    text = sources.read_text()
    for signer in ("gentoo", "gentoo-snapshots", "kernel-org", "u-boot"):
        fingerprint = (mirror / f"keys/{signer}.fingerprint").read_text().strip()
        text = of_table(text, f"signers.{signer}", "fingerprints", f'["{fingerprint}"]')
    sources.write_text(of_table(text, "sets.gentoo.kernel.kernel-org", "series", f'"{series}"'))


def of_table(text, table, key, value):
    pattern = rf"(\[{re.escape(table)}\]\n(?:[^\[\n].*\n)*?{key} = ).*"
    changed, count = re.subn(pattern, lambda found: found[1] + value, text)
    if count != 1:
        raise SystemExit(f"error: sources.toml has {count} times {key} in [{table}]")
    return changed


main()
