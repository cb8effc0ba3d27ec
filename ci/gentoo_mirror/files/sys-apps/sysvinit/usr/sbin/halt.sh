#!/bin/sh
# What sysvinit runs last before the machine is off.
exec /sbin/halt -dhnp
