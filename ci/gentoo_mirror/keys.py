"""A key that plays Gentoo's: a primary key that only certifies, and a signing subkey, as the real one has."""

import os
import subprocess

OWNER = "A key for tests (made by ci/mirror) <test@gentoo.invalid>"


class Key:
    """The key in its own GnuPG folder."""

    owner = OWNER

    def __init__(self, home):
        self.home = home
        if not (home / "pubring.kbx").exists():
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.generate()

    def generate(self):
        self.gpg("--quick-generate-key", self.owner, "ed25519", "cert", "never")
        self.gpg("--quick-add-key", self.fingerprint(), "ed25519", "sign", "never")

    def fingerprint(self):
        """That of the primary key."""
        said = self.gpg("--with-colons", "--list-keys", self.owner)
        return next(line.split(":")[9] for line in said.splitlines() if line.startswith("fpr:"))

    def export(self, destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.unlink(missing_ok=True)
        self.gpg("--armor", "--output", str(destination), "--export", self.owner)

    def clearsign(self, text, destination):
        destination.unlink(missing_ok=True)
        self.gpg("--digest-algo", "SHA512", "--output", str(destination), "--clearsign", text=text)

    def detach(self, file, destination, armor=True):
        destination.unlink(missing_ok=True)
        shape = ["--armor"] if armor else []
        self.gpg("--digest-algo", "SHA512", *shape, "--output", str(destination), "--detach-sign", str(file))

    def stop(self):
        """Ends the agent that GnuPG started for the folder."""
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)

    def gpg(self, *arguments, text=None):
        """Runs gpg in the key's folder; returns what it prints."""
        command = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--no-tty", "--passphrase", "", *arguments]
        environment = {name: value for name, value in os.environ.items() if name != "GNUPGHOME"}
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment, check=False)
        if done.returncode != 0:
            raise SystemExit(f"error: {' '.join(command)}:\n{done.stderr}")
        return done.stdout
