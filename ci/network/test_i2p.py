"""The addresses of I2P: their keys, and i2pd on utilite with them."""

import base64
import hashlib
import re
import subprocess

import pytest
from namespaces import wait_for

# An Ed25519 private key, but for its 32 bytes: RFC 8410 in DER.
PKCS8 = bytes.fromhex("302e020100300506032b657004220420")
# As the unit runs it.
AS_I2PD = ("setpriv", "--reuid=i2pd", "--regid=i2pd", "--clear-groups", "--bounding-set=-all")


@pytest.fixture(scope="module")
def utilite(network):
    return network["utilite"]


@pytest.fixture(scope="module")
def keys(utilite):
    """Service, address and key of each."""
    keys = [line.split() for line in (utilite.folder / "etc/portadc/i2p-keys").read_text().splitlines()]
    assert keys, "no service has an address of I2P"
    return keys


def test_addresses_are_those_of_their_destinations(keys):
    for service, address, text in keys:
        destination = base64.b64decode(text, validate=True)[:391]
        name = base64.b32encode(hashlib.sha256(destination).digest()).decode().rstrip("=").lower()
        assert f"{name}.b32.i2p" == address, service


def test_public_keys_are_those_of_their_private_keys(keys):
    for service, _, text in keys:
        content = base64.b64decode(text, validate=True)
        destination, seed = content[:391], content[647:]
        command = ["openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"]
        public = subprocess.run(command, input=PKCS8 + seed, capture_output=True, check=True).stdout[-32:]
        assert destination[352:384] == public, service


def test_key_of_another_address_is_refused(utilite, keys, tmp_path):
    wrong, folder = tmp_path / "i2p-keys", tmp_path / "keys"
    service, address, text = keys[0]
    wrong.write_text(f"{service} {address} {'B' if text[0] == 'A' else 'A'}{text[1:]}\n")
    folder.mkdir()
    done = subprocess.run([utilite.folder / "usr/lib/portadc/i2p-keys", wrong, folder], capture_output=True, check=False)
    assert done.returncode != 0


def test_i2pd_serves_each_address_with_the_key_that_it_was_given(utilite, keys, tmp_path):
    utilite.within("install", "-d", "-o", "i2pd", "/run/i2pd")
    utilite.within("/usr/lib/portadc/i2p-keys", "/etc/portadc/i2p-keys", "/run/i2pd")
    log = tmp_path / "log"
    options = ["--datadir=/run/i2pd", "--conf=/etc/i2pd/i2pd.conf", "--tunconf=/etc/i2pd/tunnels.conf"]
    with open(log, "w") as output:
        # Nobody is there whom it could ask for routers.
        i2pd = utilite.start_within(*AS_I2PD, "i2pd", *options, "--loglevel=info", "--reseed.threshold=0", log=output)

    def made():
        assert i2pd.poll() is None, f"i2pd ended: {log.read_text()}"
        return re.search(r"Clients: (\d+) I2P server tunnels created", log.read_text())

    try:
        count = int(wait_for("tunnels of i2pd", made)[1])
        text = log.read_text()
    finally:
        i2pd.kill()
        i2pd.wait()
    assert set(re.findall(r"Clients: Local address (\S+) loaded", text)) == {address for _, address, _ in keys}
    assert count == len(keys)
    assert [line for line in text.splitlines() if "New private keys file" in line or "Older EdDSA" in line] == []
