/* A file system with one file, `card`, that does what bad cards do.
 *
 *     false_card CLAIMED TRUE wrap|drop|die|mute MOUNTPOINT
 *
 * What is read or written behind the true end is at the same place modulo it (wrap), or is dropped and reads as zeros (drop), or
 * cannot be read (mute). One that dies does so when more than its true size was written, wherever. */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fuse3/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static off_t claimed, real, written;
static int wraps, dies, is_mute;
static char *bytes;

static int is_dead(void)
{
    return dies && written > real;
}

static int get_attributes(const char *path, struct stat *stat, struct fuse_file_info *info)
{
    (void)info;
    memset(stat, 0, sizeof *stat);
    if (!strcmp(path, "/")) {
        stat->st_mode = S_IFDIR | 0755;
        stat->st_nlink = 2;
        return 0;
    }
    if (strcmp(path, "/card"))
        return -ENOENT;
    stat->st_mode = S_IFREG | 0600;
    stat->st_nlink = 1;
    stat->st_size = claimed;
    return 0;
}

static int open_card(const char *path, struct fuse_file_info *info)
{
    if (strcmp(path, "/card"))
        return -ENOENT;
    /* Nothing of it stays in memory: what is read back is what is here. */
    info->direct_io = 1;
    return 0;
}

/* The true byte of each of `size` bytes from `offset`, into or out of `buffer`. */
static int copy(char *buffer, size_t size, off_t offset, int writing)
{
    for (size_t done = 0; done < size; done++) {
        off_t at = offset + done;
        if (at >= real && !wraps && !dies) {
            if (!writing)
                buffer[done] = 0;
        } else if (writing)
            bytes[dies ? at : at % real] = buffer[done];
        else
            buffer[done] = bytes[dies ? at : at % real];
    }
    return size;
}

static int read_card(const char *path, char *buffer, size_t size, off_t offset, struct fuse_file_info *info)
{
    (void)path, (void)info;
    if (offset >= claimed)
        return 0;
    if (offset + (off_t)size > claimed)
        size = claimed - offset;
    if (is_dead() || (is_mute && offset + (off_t)size > real))
        return -EIO;
    return copy(buffer, size, offset, 0);
}

static int write_card(const char *path, const char *buffer, size_t size, off_t offset, struct fuse_file_info *info)
{
    (void)path, (void)info;
    written += size;
    if (is_dead())
        return -EIO;
    return copy((char *)buffer, size, offset, 1);
}

static int sync_card(const char *path, int data, struct fuse_file_info *info)
{
    (void)path, (void)data, (void)info;
    return is_dead() ? -EIO : 0;
}

static const struct fuse_operations operations = {
    .getattr = get_attributes,
    .open = open_card,
    .read = read_card,
    .write = write_card,
    .fsync = sync_card,
};

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    claimed = atoll(argv[1]);
    real = atoll(argv[2]);
    wraps = !strcmp(argv[3], "wrap");
    dies = !strcmp(argv[3], "die");
    is_mute = !strcmp(argv[3], "mute");
    bytes = calloc(1, claimed);
    if (!bytes)
        return 1;
    char *arguments[] = {argv[0], "-f", "-s", argv[4], NULL};
    return fuse_main(4, arguments, &operations, NULL);
}
