"""The ebuild repository as a snapshot: a signed tarball, as Gentoo makes one every day."""

import hashlib
import os
import subprocess
from datetime import UTC, datetime
from email.utils import format_datetime


def publish(repository, directory, key):
    """Puts a snapshot of the folder `repository` into `directory`/snapshots, signed by `key`."""
    # Of the day that the repository was made, so that publishing it again gives the same bytes: what was compiled of them
    # is not compiled again.
    moment = datetime.fromtimestamp(int((repository / "profiles/repo_name").stat().st_mtime), UTC)
    name = f"gentoo-{moment:%Y%m%d}"
    folder = directory / "snapshots"
    folder.mkdir()
    tarball = folder / f"{name}.tar.xz"
    # The moment that a repository is of, for whoever looks into it.
    stamp = folder / "timestamp.chk"
    stamp.write_text(f"{format_datetime(moment)}\n")
    subprocess.run(
        ["tar", "--create", "--file", str(tarball), "--use-compress-program=xz -6 -T1", "--sort=name", "--format=gnu"]
        + ["--owner=portage:250", "--group=portage:250", "--mode=u=rwX,go=rX", f"--mtime=@{int(moment.timestamp())}"]
        + [f"--transform=s,^timestamp.chk$,{name}/metadata/timestamp.chk,", f"--transform=s,^\\.,{name},S"]
        + ["--directory", str(repository), ".", "--directory", str(folder), stamp.name],
        check=True,
        env=dict(os.environ, LC_ALL="C.UTF-8"),
    )
    stamp.unlink()
    key.sign_as_of(int(moment.timestamp()), tarball, tarball.with_name(f"{tarball.name}.gpgsig"))
    digest = hashlib.md5(tarball.read_bytes()).hexdigest()
    tarball.with_name(f"{tarball.name}.md5sum").write_text(f"{digest}  {tarball.name}\n")
    for suffix in ("", ".gpgsig", ".md5sum"):
        (folder / f"gentoo-latest.tar.xz{suffix}").symlink_to(f"{tarball.name}{suffix}")
