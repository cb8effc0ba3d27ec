//! What the kernel is asked of a disk as a whole. Its requests have no safe names in any library.

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::ioctl::{self, NoArg, Setter, opcode};

use crate::device::Target;
use crate::direct::CHUNK;

/// Bytes that are discarded by one request, which cannot be ended.
const SLICE: u64 = 1 << 30;

/// Time after which no other request is made: some cards take as long as if they wrote zeros.
const LONGEST: Duration = Duration::from_secs(10);

/// Tells the card that nobody needs what is in `range`: it has more room to spread its writes over, and gives away nothing of what
/// it was before. A card that cannot do so is as good.
#[allow(unsafe_code)]
pub(crate) fn discard(target: &Target, range: Range<u64>) {
    /// BLKDISCARD of linux/fs.h.
    const DISCARD: ioctl::Opcode = opcode::none(0x12, 119);
    let (start, end) = (range.start.next_multiple_of(CHUNK), range.end / CHUNK * CHUNK);
    let began = Instant::now();
    let mut done = 0;
    while target.disk.is_some() && start + done < end && began.elapsed() < LONGEST {
        let length = SLICE.min(end - start - done);
        // SAFETY: the request reads two numbers of 64 bits, start and length, from the array that it is given.
        let asked = unsafe {
            let request = Setter::<DISCARD, [u64; 2]>::new([start + done, length]);
            ioctl::ioctl(&target.file, request)
        };
        if asked.is_err() {
            break;
        }
        done += length;
    }
}

/// Has the kernel look for the partitions of a disk again: it still shows those that were there before.
#[allow(unsafe_code)]
pub(crate) fn reread(target: &Target) -> io::Result<()> {
    /// BLKRRPART of linux/fs.h.
    const REREAD: ioctl::Opcode = opcode::none(0x12, 95);
    if target.disk.is_none() {
        return Ok(());
    }
    // SAFETY: it has no argument, so nothing of this process is read or written.
    let asked = unsafe { ioctl::ioctl(&target.file, NoArg::<REREAD>::new()) };
    match asked {
        // No partitions are shown of this disk, as of most loop devices.
        Err(Errno::INVAL) => Ok(()),
        asked => Ok(asked?),
    }
}
