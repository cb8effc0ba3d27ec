# The same process, in the root file system, by its own shell. It runs what it is given and ends with it, or when nobody
# holds the other end of its input any more; with it ends all that runs here.
umount -l /mnt || exit 1
exec 3<&0 </dev/null
trap 'exit 143' TERM
(
    read -r nothing <&3
    kill -s TERM 1
) >/dev/null 2>&1 &
/usr/bin/env -i "$@" 3<&- &
wait $!
