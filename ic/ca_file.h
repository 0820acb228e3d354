/* A file of certificate authorities that a person named, looked at before it is relied on.
 *
 * libcurl reads the file itself, at the first https connection: with a plain http URL it would
 * never be looked at, and a bad one would show when the network is called instead of at the start.
 */
#ifndef CANISTERFS_IC_CA_FILE_H
#define CANISTERFS_IC_CA_FILE_H

#include "ic/error.h"

/* Does a regular file hold certificates in PEM, and nothing that is none?
 *
 * Returns 0, -EINVAL (IC_E_CONFIG: it cannot be read, holds none, a broken one, or is larger than
 * any bundle), -ENOMEM. Thread safety: any thread. Blocks: for the file system.
 */
int ic_ca_file_check(const char *path, struct ic_error *err) IC_NONNULL(1) IC_MUST_CHECK;

#endif
