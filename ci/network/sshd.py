"""sshd as it stands here, with the settings of a node."""

import re
import subprocess

from namespaces import wait_for


def version():
    said = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr
    return tuple(map(int, re.match(r"OpenSSH_(\d+)\.(\d+)", said).groups()))


def settings():
    """A main file that leads to the node's. What penalties exempt, an OpenSSH before 9.8 does not know, and does not start."""
    files = "*" if version() >= (9, 8) else "10-*"
    return f"Include /etc/ssh/sshd_config.d/{files}.conf\nUsePAM no\nPidFile none\n"


def start(node, work):
    """sshd at a node, with a key of its own."""
    key, main, log = (work / f"{node.name}-sshd{end}" for end in ("-key", "", ".log"))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    main.write_text(f"HostKey {key}\n{settings()}")
    node.within("mkdir", "-p", "/run/sshd")
    with open(log, "w") as output:
        process = node.start_within("/usr/sbin/sshd", "-D", "-e", "-f", main, log=output)
    wait_for(f"sshd at {node.name}", lambda: process.poll() is not None or ":22 " in node.run("ss", "-Hltn"))
    return process, log
