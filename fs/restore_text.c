#include "fs/restore_text.h"

#include "ic/wait.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text_restorer {
    struct fs_restorer restorer;
    const char *text;
    size_t len;
};

static int text_commit(struct fs_restorer *restorer, const struct fs_restore_run *run,
                       struct ic_error *err)
{
    const struct text_restorer *text = (const struct text_restorer *)restorer;
    const struct source_io io = {.deadline_ns = ic_wait_now_ns() + 60 * IC_NS_PER_SEC,
                                 .cancel = run->cancel};
    bool is_same = stage_size(run->stage) == text->len && stage_is_complete(run->stage);
    char *staged = malloc(text->len + 1);
    if (!staged)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    int result =
        is_same && text->len > 0 ? stage_read(run->stage, NULL, 0, 0, staged, text->len, &io) : 0;
    if (result < 0)
        ic_fail(err, IC_E_REJECTED, "the staging directory: %s", strerror(-result));
    else if (!is_same || memcmp(staged, text->text, text->len) != 0)
        result = ic_fail(err, IC_E_CONFIG,
                         "this file belongs to the canister's module and is not what was written; "
                         "nothing of it can be restored");
    else
        snprintf(run->summary, run->summary_size, "it is the same");
    free(staged);
    return result;
}

static void text_close(struct fs_restorer *restorer)
{
    free(restorer);
}

static const struct fs_restorer_ops ops = {.commit = text_commit, .close = text_close};

int fs_restore_text_open(struct fs_restorer **out, const char *text, size_t len)
{
    struct text_restorer *restorer = calloc(1, sizeof(*restorer));
    if (!restorer)
        return -ENOMEM;
    restorer->restorer = (struct fs_restorer){.ops = &ops, .is_atomic = true};
    snprintf(restorer->restorer.words, sizeof(restorer->restorer.words),
             "nothing is sent: a copy of itself is taken");
    restorer->text = text;
    restorer->len = len;
    *out = &restorer->restorer;
    return 0;
}
