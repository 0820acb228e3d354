#include "fs/prepare.h"

#include "fs/judge.h"

#include <errno.h>
#include <string.h>

/* Until its certified reply. The network begins a call within five minutes or not at all; a dump of
 * a large heap goes on over many messages. */
#define TIMEOUT_NS (UINT64_C(10) * 60 * 1000000000)

static int call(const struct fs_mount *mount, struct fs_job *job, struct ic_error *err)
{
    static const uint8_t no_arguments[] = {'D', 'I', 'D', 'L', 0, 0};
    const struct fs_target *target = &mount->target;
    const char *method = mount->discovery.prepare;
    const struct ic_io io = fs_job_io(job, TIMEOUT_NS);
    struct ic_reply reply;
    fs_job_say(job, "%s is called, its certified reply is waited for", method);
    int result = ic_agent_update(target->agent, &target->canister, &target->canister, method,
                                 no_arguments, sizeof(no_arguments), &io, &reply, err);
    if (result < 0)
        return result;
    fs_job_say(job, "%s has run", method);
    result = fs_judge_reply(method, reply.arg, reply.len, err);
    ic_reply_fini(&reply);
    return result;
}

static int run(void *arg, struct fs_job *job, struct ic_error *err)
{
    struct fs_mount *mount = arg;
    int result = call(mount, job, err);
    fs_tree_outdate(mount->tree);
    fs_backup_outdate(mount->backup);
    if (result < 0 && err->code == IC_E_UNKNOWN_OUTCOME)
        ic_error_reword(err, "outcome unknown: %s", err->message);
    return result;
}

int fs_prepare_start(struct fs_mount *mount, const char *command, char *message,
                     size_t message_size)
{
    if (!mount->discovery.prepare[0]) {
        snprintf(message, message_size,
                 "no profile or map that fits the canister names a method to prepare its memory "
                 "with, or it cannot be called without arguments");
        return -EOPNOTSUPP;
    }
    return fs_jobs_submit(mount->jobs, command, run, mount, message, message_size);
}
