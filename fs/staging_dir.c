#include "fs/staging_dir.h"

#include "ic/sha.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "" when it is not set, or is no absolute path: XDG Base Directory Specification. */
static const char *path_in_environment(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] == '/' ? value : "";
}

static int find_parent(const struct fs_options *options, char **out)
{
    const char *state = path_in_environment("XDG_STATE_HOME");
    const char *home = path_in_environment("HOME");
    int len = -1;
    if (options->staging_dir)
        len = asprintf(out, "%s", options->staging_dir);
    else if (*state)
        len = asprintf(out, "%s/canisterfs", state);
    else if (*home)
        len = asprintf(out, "%s/.local/state/canisterfs", home);
    else if (getuid() == 0)
        len = asprintf(out, "/var/lib/canisterfs");
    else
        return -ENOENT;
    return len < 0 ? -ENOMEM : 0;
}

int fs_staging_dir(const struct fs_target *target, char **out, char *message, size_t message_size)
{
    char *parent;
    char network[16] = "";
    uint8_t hash[IC_SHA256_LEN];
    int result = find_parent(target->options, &parent);
    if (result < 0) {
        snprintf(message, message_size,
                 "HOME is not set: say with staging_dir where to keep what is written");
        return result;
    }
    if (strcmp(target->options->network, "ic") != 0) {
        result = ic_sha256(target->root_key, sizeof(target->root_key), hash);
        snprintf(network, sizeof(network), "@%02x%02x%02x%02x", hash[0], hash[1], hash[2], hash[3]);
    }
    if (result == 0 && asprintf(out, "%s/%s%s", parent, target->canister_text, network) < 0)
        result = -ENOMEM;
    free(parent);
    return result;
}

/* That a directory was made is on the disk once the one that it is in is. */
static int sync_parent(const char *path)
{
    char copy[4096];
    snprintf(copy, sizeof(copy), "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES ? 0 : -errno; /* who may make names need not see them */
    int result = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return result;
}

/* Every directory on the way, for nobody else. */
static int make_dirs(const char *path)
{
    char part[4096];
    if (strlen(path) >= sizeof(part))
        return -ENAMETOOLONG;
    for (size_t len = 1; len <= strlen(path); len++) {
        if (path[len] != '/' && path[len] != '\0')
            continue;
        memcpy(part, path, len);
        part[len] = '\0';
        int result = mkdir(part, 0700) < 0 ? -errno : sync_parent(part);
        if (result < 0 && result != -EEXIST)
            return result;
    }
    return 0;
}

/* What is found there is offered to be restored: nobody else may have put it there, or change it.
 */
static int check_owner(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    return st.st_uid == geteuid() && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 ? 0 : -EPERM;
}

int fs_staging_dir_open(const char *path, int *out)
{
    int result = make_dirs(path);
    if (result < 0)
        return result;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    result = check_owner(fd);
    if (result < 0)
        close(fd);
    else
        *out = fd;
    return result;
}
