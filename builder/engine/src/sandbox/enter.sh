# The first process of the name spaces, as their root. It stands in the folder that has the root file system as `root`, makes
# that the only one there is, and goes on in it with $1, which is given the rest.
#
# Paths are relative and not made canonical: the folders above belong to nobody that is known here.
set -eu
mount -c --bind root root
cd -P root
mkdir -p dev proc mnt
mount -c -t proc -o nosuid,nodev,noexec proc proc
mount -c -t tmpfs -o nosuid,noexec,mode=755 dev dev
mkdir dev/shm dev/pts
for node in null zero full random urandom; do
    : >"dev/$node"
    mount -c --bind "/dev/$node" "dev/$node"
done
mount -c -t tmpfs -o nosuid,nodev,mode=1777 shm dev/shm
mount -c -t devpts -o nosuid,noexec,newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
while [ "$1" != -- ]; do
    mount -c --bind "../$2" "$3"
    mount -c -o "remount,bind,nosuid,nodev,$1" "$3"
    shift 3
done
shift
pivot_root . mnt
inside=$1
shift
exec /bin/sh -c "$inside" inside "$@"
