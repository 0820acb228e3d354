/* A directory of stages, for tests of them one by one. */
#ifndef CANISTERFS_TESTS_CACHE_STAGE_RIG_H
#define CANISTERFS_TESTS_CACHE_STAGE_RIG_H

#include "cache/stage.h"

#include <stdbool.h>
#include <stdint.h>

extern char rig_dir[64];
extern int rig_dir_fd;
extern const struct stage_purpose rig_purpose;

bool rig_open(void);
int rig_close(void); /* 0, or what is left behind */

bool rig_exists(const char *path);
/* UINT64_MAX: it is not there. */
uint64_t rig_size_of(const char *path);
/* 0: it is not there. */
unsigned rig_mode_of(const char *path);
/* A stage of the purpose. */
struct stage *rig_make(const char *name);
/* As the next program finds it. Takes *stage, also on failure; it is NULL then. */
int rig_reopen(struct stage **stage, const char *name);

/* For stage_for_each_note. */
int rig_count_note(void *arg, const void *bytes, size_t len);

#endif
