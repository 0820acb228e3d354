/* Who holds the lease, and waits for it. The thread that keeps it is in lease_work.c. */
#include "fs/lease.h"

#include "fs/lease_impl.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TTL_S     60
#define LINGER_NS (30 * IC_NS_PER_SEC)
/* What closing takes at most. */
#define GIVE_UP_NS (10 * IC_NS_PER_SEC)

/* --- life --- */

int fs_lease_open(struct fs_lease **out, const struct fs_lease_config *config)
{
    struct fs_lease *lease = calloc(1, sizeof(*lease));
    if (!lease)
        return -ENOMEM;
    lease->config = *config;
    if (lease->config.ttl_s == 0)
        lease->config.ttl_s = TTL_S;
    if (lease->config.linger_ns == 0)
        lease->config.linger_ns = LINGER_NS;
    lease->is_usable = config->is_offered && config->mode != FS_MAINTENANCE_OFF;
    int result = ic_wait_cond_init(&lease->changed);
    if (result < 0) {
        free(lease);
        return result;
    }
    (void)pthread_mutex_init(&lease->lock, NULL); /* default attributes: cannot fail on Linux */
    if (lease->is_usable)
        result = -pthread_create(&lease->thread, NULL, lease_work, lease);
    lease->has_thread = lease->is_usable && result == 0;
    if (result < 0) {
        fs_lease_close(lease);
        return result;
    }
    *out = lease;
    return 0;
}

void fs_lease_stop(struct fs_lease *lease)
{
    if (!lease)
        return;
    pthread_mutex_lock(&lease->lock);
    if (!atomic_load(&lease->stopping)) {
        lease->give_up_ns = ic_wait_now_ns() + GIVE_UP_NS;
        atomic_store(&lease->stopping, true);
    }
    pthread_cond_broadcast(&lease->changed);
    pthread_mutex_unlock(&lease->lock);
}

void fs_lease_close(struct fs_lease *lease)
{
    if (!lease)
        return;
    fs_lease_stop(lease);
    if (lease->has_thread)
        pthread_join(lease->thread, NULL);
    (void)pthread_cond_destroy(&lease->changed);
    (void)pthread_mutex_destroy(&lease->lock);
    free(lease);
}

/* --- waiting --- */

static int fail_lost(struct ic_error *err)
{
    return ic_fail(err, IC_E_CHANGED,
                   "the maintenance lease was lost: the canister may have gone "
                   "on meanwhile");
}

/* Why waiting ended, and what it waited for. */
static int fail_wait_locked(const struct fs_lease *lease, int rc, struct ic_error *err)
{
    char what[256];
    snprintf(what, sizeof(what), "maintenance lease: %s",
             lease->words[0] ? lease->words : "waiting for it");
    return ic_wait_fail(err, rc, what);
}

static int wait_locked(struct fs_lease *lease, const struct ic_io *io, struct ic_error *err)
{
    unsigned n_failed = lease->n_failed;
    int rc = 0;
    lease->n_wanting++;
    pthread_cond_broadcast(&lease->changed);
    while (rc == 0 && lease->n_failed == n_failed && !lease_is_ready_locked(lease))
        rc = atomic_load(&lease->stopping)
                 ? -EINTR
                 : ic_wait_cond(&lease->changed, &lease->lock, INT64_MAX, io);
    if (lease->n_failed != n_failed) { /* whoever failed it does not count us any more */
        if (err)
            *err = lease->failure;
        return ic_error_errno(&lease->failure);
    }
    lease->n_wanting--;
    return rc == 0 ? 0 : fail_wait_locked(lease, rc, err);
}

static int get_locked(struct fs_lease *lease, const char *reason, const struct ic_io *io,
                      struct ic_error *err)
{
    if (lease->is_lost)
        return fail_lost(err);
    if (lease->n_wanting == 0 && lease->state == LEASE_FREE)
        snprintf(lease->reason, sizeof(lease->reason), "%s", reason);
    return wait_locked(lease, io, err);
}

/* Nobody needs it any more: it is kept for a while, for whoever comes next. */
static void linger_locked(struct fs_lease *lease)
{
    if (lease->n_wanting + lease->n_holders == 0 && !lease->is_commanded)
        lease->linger_until_ns = ic_wait_boot_ns() + lease->config.linger_ns;
    pthread_cond_broadcast(&lease->changed);
}

/* --- holders --- */

int fs_lease_hold(struct fs_lease *lease, const char *reason, const struct ic_io *io,
                  struct ic_error *err)
{
    int result = 0;
    if (!lease->is_usable)
        return 0;
    pthread_mutex_lock(&lease->lock);
    if (lease->config.mode == FS_MAINTENANCE_AUTO)
        result = get_locked(lease, reason, io, err);
    else if (lease->is_lost)
        result = fail_lost(err);
    if (result == 0)
        lease->n_holders++;
    else
        linger_locked(lease);
    pthread_mutex_unlock(&lease->lock);
    return result;
}

void fs_lease_release(struct fs_lease *lease)
{
    if (!lease->is_usable)
        return;
    pthread_mutex_lock(&lease->lock);
    lease->n_holders--;
    if (lease->n_holders == 0 && !lease->was_commanded)
        lease->is_lost = false;
    linger_locked(lease);
    pthread_mutex_unlock(&lease->lock);
}

int fs_lease_check(struct fs_lease *lease, struct ic_error *err)
{
    int result = 0;
    if (!lease->is_usable)
        return 0;
    pthread_mutex_lock(&lease->lock);
    bool has_expired = lease->state == LEASE_HELD && ic_wait_boot_ns() >= lease->valid_until_ns;
    if (lease->is_lost || has_expired)
        result = fail_lost(err);
    pthread_mutex_unlock(&lease->lock);
    return result;
}

/* --- commands --- */

static int require(const struct fs_lease *lease, struct ic_error *err)
{
    if (lease->is_usable)
        return 0;
    ic_fail(err, IC_E_CONFIG, "%s",
            lease->config.is_offered
                ? "mounted without -o maintenance=manual or auto"
                : "the canister offers no maintenance lease (maintenance_pause and its fellows)");
    return -EOPNOTSUPP;
}

/* A command ends what was lost before it: whoever gives it knows. */
static void forget_loss_locked(struct fs_lease *lease)
{
    if (lease->n_holders == 0)
        lease->is_lost = false;
    lease->was_commanded = false;
}

int fs_lease_pause(struct fs_lease *lease, const struct ic_io *io, struct ic_error *err)
{
    int result = require(lease, err);
    if (result < 0)
        return result;
    pthread_mutex_lock(&lease->lock);
    forget_loss_locked(lease);
    result = get_locked(lease, "canisterfs: paused by command", io, err);
    if (result == 0)
        lease->is_commanded = true;
    else
        linger_locked(lease);
    pthread_mutex_unlock(&lease->lock);
    return result;
}

static int resume_locked(struct fs_lease *lease, const struct ic_io *io, struct ic_error *err)
{
    bool had_lost = lease->is_lost;
    int rc = 0;
    lease->is_commanded = false;
    forget_loss_locked(lease);
    if (lease->state == LEASE_FREE)
        return had_lost ? 0 : ic_fail(err, IC_E_NOT_FOUND, "nothing is paused by this mount");
    lease->linger_until_ns = 0;
    pthread_cond_broadcast(&lease->changed);
    while (rc == 0 && lease->state != LEASE_FREE) {
        unsigned n = lease->n_holders + lease->n_wanting;
        if (n > 0)
            return ic_fail(err, IC_E_BUSY,
                           "%u reads or restores rely on the pause: it ends with the last of them",
                           n);
        rc = ic_wait_cond(&lease->changed, &lease->lock, INT64_MAX, io);
    }
    return rc == 0 ? 0 : fail_wait_locked(lease, rc, err);
}

int fs_lease_resume(struct fs_lease *lease, const struct ic_io *io, struct ic_error *err)
{
    int result = require(lease, err);
    if (result < 0)
        return result;
    pthread_mutex_lock(&lease->lock);
    result = resume_locked(lease, io, err);
    pthread_mutex_unlock(&lease->lock);
    return result;
}

/* --- reports --- */

void fs_lease_describe(struct fs_lease *lease, struct fs_lease_info *out)
{
    memset(out, 0, sizeof(*out));
    pthread_mutex_lock(&lease->lock);
    out->mode = lease->config.mode;
    out->is_offered = lease->config.is_offered;
    out->is_held = lease->state == LEASE_HELD && ic_wait_boot_ns() < lease->valid_until_ns;
    out->n_holders = lease->n_holders;
    out->expires_ns = out->is_held ? lease->expires_ns : 0;
    memcpy(out->words, lease->words, sizeof(out->words));
    memcpy(out->problem, lease->problem, sizeof(out->problem));
    pthread_mutex_unlock(&lease->lock);
}
