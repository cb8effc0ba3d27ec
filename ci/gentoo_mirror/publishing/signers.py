"""Who signs, each with a certificate as the real one has it, and where portadc finds them: a web key directory, a key server."""

import hashlib

from gentoo_mirror.keys import Key


class Gentoo(Key):
    """Gentoo's: what it signed, stage3s and packages, is older than its certificate's own signatures, as after each renewal."""

    name, address = "gentoo", "releng@gentoo.org"

    def renew(self):
        _renew(self)


class Snapshots(Key):
    """Gentoo's for the ebuild repository."""

    name, address = "gentoo-snapshots", "infrastructure@gentoo.org"
    owner = "A key for snapshots (made by ci/mirror) <snapshots@gentoo.invalid>"

    def generate(self):
        made = ["--faked-system-time", "20240101T000000"]
        self.gpg(*made, "--quick-generate-key", self.owner, "ed25519", "cert", "never")
        self.gpg(*made, "--quick-add-key", self.fingerprint(), "ed25519", "sign", "never")

    def sign_as_of(self, moment, file, destination):
        """Signs a file as of a moment, in seconds: what is compiled of a snapshot has that time."""
        made = ["--faked-system-time", f"{moment}!", "--digest-algo", "SHA512", "--armor"]
        self.gpg(*made, "--output", str(destination), "--detach-sign", str(file))


class Autosigner(Key):
    """kernel.org's: one key that does everything, with one self-signature, of 2013 and by SHA-1."""

    name, address = "kernel-org", "autosigner@kernel.org"
    owner = "A key for kernels (made by ci/mirror) <kernel@gentoo.invalid>"

    def generate(self):
        made = ["--faked-system-time", "20130124T000000", "--cert-digest-algo", "SHA1"]
        self.gpg(*made, "--quick-generate-key", self.owner, "rsa3072", "sign,cert", "never")


class UBoot(Key):
    """U-Boot's: renewed after the release, in no web key directory."""

    name, address = "u-boot", None
    owner = "A key for U-Boot (made by ci/mirror) <u-boot@gentoo.invalid>"

    def generate(self):
        self.gpg("--faked-system-time", "20240101T000000", "--quick-generate-key", self.owner, "rsa3072", "sign,cert", "2y")

    def detach(self, file, destination, armor=True):
        """The same as of the day of the release."""
        destination.unlink(missing_ok=True)
        shape = ["--armor"] if armor else []
        made = ["--faked-system-time", "20250106T000000", "--digest-algo", "SHA512"]
        self.gpg(*made, *shape, "--output", str(destination), "--detach-sign", str(file))

    def renew(self):
        _renew(self)


def _renew(key):
    """Gives a key and its subkeys another end. GnuPG then replaces what the certificate says of itself."""
    key.gpg("--quick-set-expire", key.fingerprint(), "2y")
    key.gpg("--quick-set-expire", key.fingerprint(), "2y", "*")


def publish(directory, signers):
    """Puts what `signers` are known by into `directory`: `keys/` for those who verify, and what servers of keys have."""
    lookup = directory / "pks/lookup"
    lookup.parent.mkdir()
    for signer in signers:
        keyring = directory / f"keys/{signer.name}.asc"
        signer.export(keyring)
        keyring.with_suffix(".fingerprint").write_text(f"{signer.fingerprint()}\n")
        if signer.address:
            local, domain = signer.address.split("@")
            folder = directory / ".well-known/openpgpkey" / domain
            (folder / "hu").mkdir(parents=True, exist_ok=True)
            (folder / "policy").touch()
            signer.gpg("--output", str(folder / "hu" / _z_base_32(hashlib.sha1(local.encode()).digest())), "--export", signer.owner)
    # A file is served whatever is asked for by it: with each key come all others.
    collector = signers[0]
    for signer in signers[1:]:
        collector.gpg("--import", str(directory / f"keys/{signer.name}.asc"))
    collector.gpg("--armor", "--output", str(lookup), "--export")


def _z_base_32(digest):
    number = int.from_bytes(digest, "big")
    return "".join("ybndrfg8ejkmcpqxot1uwisza345h769"[number >> shift & 31] for shift in range(155, -1, -5))
