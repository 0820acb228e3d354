/* Passwords of key files: out of a file, or typed at the terminal. */
#ifndef CANISTERFS_FS_PASSWORD_H
#define CANISTERFS_FS_PASSWORD_H

#include "ic/identity_pem.h"

#include <stdbool.h>

struct fs_password {
    const char *file; /* borrowed; NULL: ask on the terminal */
    bool is_exposed;  /* fills: that file can be read by its group or by others */
};

/* The source of a password for ic_identity_open_pem; arg is a struct fs_password.
 *
 * From a file: its first line. From the terminal: only when standard input is one; the prompt goes
 * to standard error, nothing is echoed, and a signal that ends or stops the program sets the
 * terminal right first. Blocks until a line is typed.
 *
 * Returns the length, or -EINVAL with err filled.
 */
int fs_password_get(void *arg, const char *key_file, char buf[IC_PASSWORD_MAX],
                    struct ic_error *err) __attribute__((warn_unused_result, nonnull));

#endif
