/* Restores of collections that are disturbed: nothing is given twice and nothing is left out,
 * wherever the program dies and whatever the network does. */
#include "tests/fs/restore_items_rig.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

TAP_STATE;

/* The program dies at every call, before or after it; then it is repeated until it succeeds. */
static void test_death(enum rig_accident accident, const char *words)
{
    struct ic_buf file = rig_make_file("backup_items_chunk", 100, 3);
    unsigned n_wrong = 0, n_died = 0;
    for (unsigned at = 0;; at++) {
        struct rig_outcome out;
        struct stage *stage = rig_begin("backup_items_chunk", &file);
        rig_canister->limit = 13;
        rig_canister->accident = accident;
        rig_canister->accident_at = at;
        stage = rig_commit_and_die(stage);
        if (rig_canister->n_calls <= at) { /* there are not so many calls */
            stage_remove(stage);
            break;
        }
        n_died++;
        rig_commit(stage, false, false, &out);
        bool is_good = out.result == 0 && rig_was_given(100, 1) && rig_canister->n_asked == 1;
        if (!is_good)
            printf("# at call %u: %d %s, asked %u times\n", at, out.result, out.err.message,
                   rig_canister->n_asked);
        n_wrong += !is_good;
        stage_remove(stage);
    }
    TAP_INT(n_wrong, 0, words);
    TAP_OK(n_died >= 8, "at every call");
    ic_buf_fini(&file);
}

static struct stage *after(enum rig_accident accident, unsigned at, int result,
                           const struct ic_buf *file, struct rig_outcome *out)
{
    struct stage *stage = rig_begin("backup_items_chunk", file);
    rig_canister->limit = 13;
    rig_canister->accident = accident;
    rig_canister->accident_at = at;
    rig_commit(stage, false, false, out);
    TAP_INT(out->result, result, out->result < 0 ? out->err.message : "it succeeds");
    rig_canister->accident = NO_ACCIDENT;
    atomic_store(&rig_cancelled, false);
    return stage;
}

static void test_unknown(void)
{
    static const enum rig_accident accidents[] = {LOSE_CALL, LOSE_REPLY, CANCEL_IT};
    struct ic_buf file = rig_make_file("backup_items_chunk", 100, 3);
    for (size_t i = 0; i < sizeof(accidents) / sizeof(accidents[0]); i++) {
        struct rig_outcome out;
        struct stage *stage =
            after(accidents[i], 6, accidents[i] == CANCEL_IT ? -EINTR : -EIO, &file, &out);
        TAP_INT(out.err.code, IC_E_UNKNOWN_OUTCOME, "an unknown outcome");
        TAP_OK(strstr(out.err.message, "items: outcome unknown: items [") != NULL &&
                   strstr(out.err.message, ") may have been restored") != NULL,
               "says so");
        unsigned n_calls = rig_canister->n_calls;
        rig_canister->is_forgetful = true;
        rig_commit(stage, false, false, &out);
        TAP_INT(out.result, -EIO, "nobody knows any more");
        TAP_INT(rig_canister->n_calls, n_calls, "then it is never sent again by itself");
        rig_canister->is_forgetful = false;
        rig_commit(stage, false, false, &out);
        TAP_INT(out.result, 0, "when it is known what became of it");
        TAP_OK(rig_was_given(100, 1), "every item is given once");
        stage_remove(stage);
    }
    ic_buf_fini(&file);
}

static void test_force(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_items_chunk", 100, 3);
    struct stage *stage = after(LOSE_CALL, 6, -EIO, &file, &out);
    rig_canister->is_forgetful = true;
    rig_commit(stage, true, false, &out);
    TAP_INT(out.result, 0, "with force it is sent again");
    TAP_OK(rig_was_given(100, 1), "every item is given");
    stage_remove(stage);
    ic_buf_fini(&file);
}

/* Of a call that certainly never ran another is made. */
static void test_never_ran(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_items_chunk", 100, 3);
    struct stage *stage = after(NEVER_RAN, 6, 0, &file, &out);
    TAP_OK(rig_was_given(100, 1), "every item is given once");
    stage_remove(stage);
    ic_buf_fini(&file);
}

/* ... unless the lease is lost meanwhile. */
static void test_lease_lost(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_items_chunk", 100, 3);
    rig_reset();
    rig_canister->limit = 13;
    rig_canister->accident = NEVER_RAN;
    rig_canister->accident_at = 6;
    rig_canister->lease_lost_at = 7;
    rig_choose("backup_items_chunk");
    struct stage *stage = rig_stage_of(file.bytes, file.len);
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, -ESTALE, out.err.message);
    TAP_INT(rig_canister->n_calls, 7, "the call is not made again");
    stage_remove(stage);
    ic_buf_fini(&file);
}

/* A call replied that it failed, which is learned only by a repeat, and cannot be noted. */
static void test_unnoted_failure(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_items_chunk", 100, 3);
    struct stage *stage = after(LOSE_REPLY, 6, -EIO, &file, &out);
    unsigned n_calls = rig_canister->n_calls;
    rig_canister->reply = "DIDL\0\1\x7e\0";
    rig_canister->reply_len = 8;
    rig_canister->note_fails_at = 1;
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, -ENOSPC, out.err.message);
    TAP_INT(rig_canister->n_calls, n_calls, "nothing is sent that a repeat would not know of");
    stage_remove(stage);
    ic_buf_fini(&file);
}

static void test_cancelled_before(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_items_chunk", 100, 3);
    struct stage *stage = rig_begin("backup_items_chunk", &file);
    atomic_store(&rig_cancelled, true);
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, -EINTR, out.err.message);
    TAP_INT(rig_canister->n_prepared, 0, "nothing was sent");
    stage_remove(stage);
    ic_buf_fini(&file);
}

/* A file that was written to since: what was restored of the old one does not count for it. */
static void test_other_content(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_items_chunk", 100, 3);
    struct ic_buf other = rig_make_file("backup_items_chunk", 100, 4);
    struct stage *stage = after(LOSE_REPLY, 6, -EIO, &file, &out);
    if (stage_truncate(stage, 0) < 0 || stage_write(stage, 0, other.bytes, other.len) < 0)
        exit(1);
    memset(rig_canister->n_given, 0, sizeof(rig_canister->n_given));
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, 0, out.err.message);
    TAP_INT(rig_canister->n_asked, 1, "what became of the last call is asked for all the same");
    TAP_OK(rig_was_given(100, 1), "all of the new file is restored");
    stage_remove(stage);
    ic_buf_fini(&file);
    ic_buf_fini(&other);
}

int main(void)
{
    if (!rig_open())
        return 1;
    test_death(DIE_BEFORE, "the program dies before a call is sent");
    test_death(DIE_AFTER, "the program dies when a call has run");
    test_unknown();
    test_force();
    test_never_ran();
    test_lease_lost();
    test_unnoted_failure();
    test_cancelled_before();
    test_other_content();
    TAP_INT(rig_close(), 0, "nothing is left behind");
    return tap_done();
}
