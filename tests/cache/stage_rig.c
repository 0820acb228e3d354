#include "tests/cache/stage_rig.h"

#include "tests/cache/stage_model.h"
#include "tests/tap.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

char rig_dir[64];
int rig_dir_fd;

const struct stage_purpose rig_purpose = {
    .target = "backup/nfts/0", .base_size = 9000, .base_version = 5, .created_ns = -6};

bool rig_open(void)
{
    rig_dir_fd = model_make_dir(rig_dir);
    return rig_dir_fd >= 0;
}

int rig_close(void)
{
    close(rig_dir_fd);
    return rmdir(rig_dir);
}

bool rig_exists(const char *path)
{
    struct stat st;
    return fstatat(rig_dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

uint64_t rig_size_of(const char *path)
{
    struct stat st;
    return fstatat(rig_dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)st.st_size
                                                                    : UINT64_MAX;
}

unsigned rig_mode_of(const char *path)
{
    struct stat st;
    return fstatat(rig_dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_mode & 07777u : 0;
}

struct stage *rig_make(const char *name)
{
    struct stage *stage = NULL;
    TAP_INT(stage_new(&stage, rig_dir_fd, name, &rig_purpose), 0, "made");
    return stage;
}

int rig_reopen(struct stage **stage, const char *name)
{
    stage_close(*stage);
    *stage = NULL;
    return stage_open(stage, rig_dir_fd, name);
}

int rig_count_note(void *arg, const void *bytes, size_t len)
{
    unsigned *n = arg;
    (void)bytes;
    (void)len;
    return ++*n == 3 ? 42 : 0;
}
