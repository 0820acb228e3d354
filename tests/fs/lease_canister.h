/* A pretended canister with a maintenance lease, behind a pretended network of one subnet, whose
 * answers can be lost. For one test program at a time. */
#ifndef CANISTERFS_TESTS_FS_LEASE_CANISTER_H
#define CANISTERFS_TESTS_FS_LEASE_CANISTER_H

#include "fs/target.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* All guarded by lock. */
struct lease_canister {
    pthread_mutex_t lock;

    /* what it is told to do */
    bool is_deaf;          /* the network: no request gets an answer, none arrives */
    bool hides;            /* the network: calls run, and nobody is told what became of them */
    unsigned lose_replies; /* so many calls run, and are not answered */
    unsigned swallows;     /* so many copies of calls are lost on the way */
    unsigned in_flight;    /* calls; one ends with each question for the status */
    bool is_stuck;         /* ... none ends */
    bool denies;
    bool refuses_status; /* as an update, before it runs */
    uint32_t ttl_max_s;  /* 0: none */

    /* what became of it */
    int64_t expires_ns; /* wall clock; 0: not paused */
    uint32_t ttl_s;
    uint64_t lease;
    char reason[64];
    unsigned n_pauses; /* calls that arrived */
    unsigned n_renewals;
    unsigned n_resumes;
    unsigned n_statuses;
};

extern struct lease_canister canister;

/* out: a target that sees it; borrows log and options. */
void lease_canister_open(struct fs_target *out, struct fs_log *log,
                         const struct fs_options *options);
void lease_canister_close(struct fs_target *target);

/* As new: not paused, nothing lost, nothing counted. */
void lease_canister_reset(void);

bool lease_canister_is_paused(void);

#endif
