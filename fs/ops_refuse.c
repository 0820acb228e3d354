/* What no mount does. */
#include "fs/ops_impl.h"

#include <errno.h>

/* Where nothing can be written it is read-only; elsewhere only files are made. */
static void refuse(fuse_req_t req)
{
    fs_reply_error(req, ops_of(req)->config.stages ? -EPERM : -EROFS);
}

void ops_refuse_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    (void)parent, (void)name, (void)mode, (void)rdev;
    refuse(req);
}

void ops_refuse_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)parent, (void)name, (void)mode;
    refuse(req);
}

void ops_refuse_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    (void)parent, (void)name;
    refuse(req);
}

void ops_refuse_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
    (void)link, (void)parent, (void)name;
    refuse(req);
}

void ops_refuse_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
    (void)ino, (void)new_parent, (void)new_name;
    refuse(req);
}

/* Tools that copy attributes where there are any go on after EOPNOTSUPP. */
static void refuse_attribute(fuse_req_t req)
{
    fs_reply_error(req, ops_of(req)->config.stages ? -EOPNOTSUPP : -EROFS);
}

void ops_refuse_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                         size_t size, int flags)
{
    (void)ino, (void)name, (void)value, (void)size, (void)flags;
    refuse_attribute(req);
}

void ops_refuse_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    (void)ino, (void)name;
    refuse_attribute(req);
}
