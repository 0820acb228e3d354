/* When contents were first seen: what makes the mtime of a chunk file the same from mount to mount,
 * so that rsync transfers only what changed.
 *
 * Canisters tell no times for the items of a collection. A chunk file therefore gets as its mtime
 * the moment at which its present content was first seen, and keeps it for as long as the content
 * stays: the content is known again by its SHA-256. With a directory (-o cache_dir) this is
 * remembered in a file of the canister, otherwise until unmount.
 *
 * The file is one text line per content (fs/seen_line.h), appended when a content is new, rewritten
 * when most of it is outdated. It holds no contents and no names. What can be read of a damaged
 * file is used; lines that make no sense are not, and go when the file is rewritten. No more than
 * the last 64 MiB of it count, about 400000 contents; of more than that the oldest are forgotten.
 *
 * Any number of mounts may use one file: each sees what the others have written before it gives a
 * new time, so that a content that two of them fetch has one mtime, and none loses the other's
 * lines.
 *
 * Thread safety: any function but open and close from any thread.
 */
#ifndef CANISTERFS_FS_SEEN_H
#define CANISTERFS_FS_SEEN_H

#include <stddef.h>
#include <stdint.h>

#define FS_SEEN_HASH 32 /* bytes of a SHA-256 */

struct fs_seen;

/* dir   NULL: nothing is remembered beyond close; else it must exist
 * name  of the file in it, which is made if need be (mode 0600): a file name. A second name,
 *       NAME.new, is used while it is rewritten.
 *
 * Returns 0; -ENOMEM; -EINVAL: not a regular file; -EPERM: not the user's own; -ELOOP: a symbolic
 * link; or the errno of opening or reading it (-ENOENT: no such directory, -EACCES, -EROFS, ...).
 * Reads the file. */
int fs_seen_open(struct fs_seen **out, const char *dir, const char *name)
    __attribute__((nonnull(1, 3), warn_unused_result));

/* What could not be written before is tried once more. NULL is fine. No other call may be running.
 */
void fs_seen_close(struct fs_seen *seen);

/* A content was fetched.
 *
 * path     names what has the content: collection and file, at most 300 bytes, printable or not
 * hash     of the content
 * told_ns  the time the canister tells for it, ns since 1970; none when it is not between then and
 *          the year 2200
 *
 * Returns the mtime, ns since 1970: the one remembered for this path when it has this very hash;
 * else told_ns or the present time, moved on so that it lies in a later whole second than the one
 * remembered for the path (rsync compares seconds), and remembered from now on. Never fails: what
 * cannot be written is remembered until close, and without memory for it not even so long. May
 * block on the disk, for a content that is new. */
int64_t fs_seen_at(struct fs_seen *seen, const char *path, const uint8_t hash[FS_SEEN_HASH],
                   int64_t told_ns) __attribute__((nonnull));

#endif
