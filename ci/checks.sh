# The steps that ci/check and ci/test have alike: for scripts that have read lib.sh and steps.sh.
# shellcheck shell=bash

# What only computes gives way to what has a clock to keep to: real connections, emulated machines.
computes() { nice -n 10 "$@"; }

portadc=${CARGO_TARGET_DIR:-target}/release/portadc

step rustfmt '' cargo fmt --all --check
step python '' ci/check-python
step scripts '' ci/check-scripts
step steps '' ci/check-steps
# With the release profile: compression, hashing and OpenPGP dominate the suite. Tests, programs and examples are compiled at
# once, since each of them alone asks for other features of the dependencies. Only lints need them in another form.
step compile '' computes cargo nextest run --release --workspace --locked --no-run
# The fleet of images/fleet.toml, which no test speaks of, and its picture in README.md.
fleet() {
    "$portadc" check
    "$portadc" graph | cmp - docs/fleet.svg || die "the fleet changed: draw it with portadc graph -o docs/fleet.svg"
}
step fleet compile fleet
# Cargo does one thing at a time, so what asks it for something is behind the lints.
step lints '' computes cargo clippy --release --workspace --all-targets --locked -- -D warnings
behind lints compile
