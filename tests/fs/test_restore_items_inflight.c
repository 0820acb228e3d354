/* Several pieces of a file at once, where the order is free: whatever happens to some of them, each
 * item is given once. */
#include "fs/restore_items_impl.h"
#include "tests/fs/restore_items_rig.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

TAP_STATE;

#define AT_ONCE 8

static struct stage *begin(uint64_t limit, const struct ic_buf *file)
{
    rig_reset();
    rig_canister->limit = limit;
    rig_canister->limit_is_told = true;
    rig_canister->call_ms = 5;
    rig_choose_at_once("backup_items_chunk", AT_ONCE);
    return rig_stage_of(file->bytes, file->len);
}

static void test_at_once(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_items_chunk", 2000, 3);
    struct stage *stage = begin(50, &file);
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, 0, out.err.message);
    TAP_OK(rig_was_given(2000, 1), "every item once");
    printf("# at most %u at once, %u calls, %u in vain\n", rig_canister->most_at_once,
           rig_canister->n_calls, rig_canister->n_too_much);
    TAP_OK(rig_canister->most_at_once > AT_ONCE / 2 && rig_canister->most_at_once <= AT_ONCE,
           "several at once, and not more than that");
    TAP_OK(rig_canister->n_calls <= 2 * 40 + 16, "in few calls");
    TAP_OK(out.progress.n_acked == file.len && out.progress.n_sent == file.len,
           "progress tells all of it");
    unsigned n_calls = rig_canister->n_calls;
    rig_commit(stage, false, false, &out);
    TAP_OK(out.result == 0 && rig_canister->n_calls == n_calls, "a repeat calls nothing");
    stage_remove(stage);
    ic_buf_fini(&file);
}

static void test_limits(void)
{
    unsigned n_wrong = 0, most_in_vain = 0;
    for (uint64_t i = 0; i < 150; i++) {
        uint64_t n = 1 + (i * 7919) % 1500, limit = 1 + (i * 104729) % (i % 3 ? 1500 : 40);
        uint64_t least = (n + limit - 1) / limit;
        struct ic_buf file = rig_make_file("backup_items_chunk", n, 3);
        struct stage *stage = begin(limit, &file);
        rig_canister->limit_is_told = i % 2 == 0;
        rig_canister->call_ms = 0;
        n_wrong += !rig_restores_in_few(stage, n, 13 + AT_ONCE + least / 8, 2 * least + AT_ONCE);
        if (rig_canister->n_too_much > most_in_vain)
            most_in_vain = rig_canister->n_too_much;
        ic_buf_fini(&file);
    }
    printf("# at most %u calls in vain\n", most_in_vain);
    TAP_INT(n_wrong, 0, "limits of any size: every item once, few calls in vain");
}

/* An item that is not taken is named; nothing more is begun then; a repeat gives what is missing.
 */
static void test_bad_item(void)
{
    static const uint64_t bad[] = {0, 1, 777, 1999};
    struct ic_buf file = rig_make_file("backup_items_chunk", 2000, 3);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rig_outcome out;
        struct stage *stage = begin(20, &file);
        rig_canister->bad = bad[i];
        rig_commit(stage, false, false, &out);
        rig_expect_bad(&out, bad[i], 2000);
        TAP_INT(rig_canister->n_given[bad[i]], 0, "it is not given");
        if (bad[i] < 2)
            TAP_OK(rig_canister->n_calls < 80, "nothing more is begun");
        rig_canister->bad = RIG_NONE; /* mended */
        rig_commit(stage, false, false, &out);
        TAP_INT(out.result, 0, "a repeat");
        TAP_OK(rig_was_given(2000, 1), "gives what is missing");
        stage_remove(stage);
    }
    ic_buf_fini(&file);
}

/* --- accidents --- */

/* The program dies at every call, while others are under way; then it is repeated. */
static void test_death(enum rig_accident accident, const char *words)
{
    struct ic_buf file = rig_make_file("backup_items_chunk", 200, 3);
    unsigned n_wrong = 0, n_several = 0;
    for (unsigned at = 0; at < 20; at++) {
        struct rig_outcome out;
        struct stage *stage = begin(13, &file);
        rig_canister->accident = accident;
        rig_canister->accident_at = at;
        stage = rig_commit_and_die(stage);
        unsigned n_asked = rig_canister->n_asked;
        rig_commit(stage, false, false, &out);
        n_several += rig_canister->n_asked - n_asked > 1;
        bool is_good = out.result == 0 && rig_was_given(200, 1);
        if (!is_good)
            printf("# at call %u: %d %s\n", at, out.result, out.err.message);
        n_wrong += !is_good;
        stage_remove(stage);
    }
    TAP_INT(n_wrong, 0, words);
    TAP_OK(n_several > 5, "several were under way");
    ic_buf_fini(&file);
}

/* Of several calls nobody knows what became of them. */
static void test_unknown(enum rig_accident accident)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_items_chunk", 2000, 3);
    struct stage *stage = begin(20, &file);
    rig_canister->accident = accident;
    rig_canister->accident_at = 30;
    rig_canister->n_accidents = 3;
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, -EIO, out.err.message);
    TAP_INT(out.err.code, IC_E_UNKNOWN_OUTCOME, "the outcome of three is not known");
    TAP_OK(strstr(out.err.message, "items: outcome unknown: items [") != NULL &&
               strstr(out.err.message, "(and 2 other calls likewise)") != NULL,
           "which is said");
    unsigned n_calls = rig_canister->n_calls;
    TAP_OK(n_calls < 30 + 3 + AT_ONCE, "nothing more was begun");
    rig_canister->accident = NO_ACCIDENT;
    rig_canister->is_forgetful = true;
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, -EIO, "nobody knows any more");
    TAP_INT(rig_canister->n_calls, n_calls, "then they are never sent again by themselves");
    rig_canister->is_forgetful = false;
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, 0, "when it is known what became of them");
    TAP_OK(rig_was_given(2000, 1), "every item is given once");
    stage_remove(stage);
    ic_buf_fini(&file);
}

static void test_force(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_items_chunk", 2000, 3);
    struct stage *stage = begin(20, &file);
    rig_canister->accident = LOSE_CALL;
    rig_canister->accident_at = 30;
    rig_canister->n_accidents = 3;
    rig_commit(stage, false, false, &out);
    TAP_INT(out.err.code, IC_E_UNKNOWN_OUTCOME, "the outcome of three is not known");
    rig_canister->accident = NO_ACCIDENT;
    rig_canister->is_forgetful = true;
    rig_commit(stage, true, false, &out);
    TAP_INT(out.result, 0, "with force they are sent again");
    TAP_OK(rig_was_given(2000, 1), "they, and what was not sent, alone");
    stage_remove(stage);
    ic_buf_fini(&file);
}

static void test_cancelled(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_items_chunk", 2000, 3);
    struct stage *stage = begin(20, &file);
    rig_canister->accident = CANCEL_IT;
    rig_canister->accident_at = 30;
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, -EINTR, out.err.message);
    TAP_INT(out.err.code, IC_E_UNKNOWN_OUTCOME, "and of one it is not known");
    TAP_OK(rig_canister->n_calls < 31 + AT_ONCE, "nothing more was begun");
    rig_canister->accident = NO_ACCIDENT;
    atomic_store(&rig_cancelled, false);
    rig_commit(stage, false, false, &out);
    TAP_OK(out.result == 0 && rig_was_given(2000, 1), "a repeat goes on");
    stage_remove(stage);
    ic_buf_fini(&file);
}

/* --- ranges --- */

static bool is_like(const struct items_done *done, const bool *given, uint64_t count)
{
    uint64_t at = 0, n = 0;
    struct items_range gap;
    for (uint64_t i = 0; i < count; i++)
        n += given[i];
    for (; items_done_find_gap(done, at, count, &gap); at = gap.end) {
        for (uint64_t i = at; i < gap.end; i++)
            if (given[i] != (i < gap.start))
                return false;
    }
    for (uint64_t i = at; i < count; i++)
        if (!given[i])
            return false;
    return n == done->count;
}

static void test_ranges(void)
{
    enum { COUNT = 60 };
    uint64_t state = 1;
    unsigned n_wrong = 0;
    for (int round = 0; round < 2000; round++) {
        struct items_done done = {0};
        bool given[COUNT] = {0};
        for (int i = 0; i < 12; i++) {
            state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
            uint64_t start = (state >> 33) % COUNT;
            uint64_t end = start + (state >> 50) % (COUNT - start + 1) % 9;
            if (items_done_add(&done, start, end) < 0)
                exit(1);
            for (uint64_t k = start; k < end; k++)
                given[k] = true;
            n_wrong += !is_like(&done, given, COUNT);
        }
        items_done_fini(&done);
    }
    TAP_INT(n_wrong, 0, "which items are restored, and which are not");
}

int main(void)
{
    if (!rig_open())
        return 1;
    test_ranges();
    test_at_once();
    test_limits();
    test_bad_item();
    test_death(DIE_BEFORE, "the program dies before a call is sent");
    test_death(DIE_AFTER, "the program dies when a call has run");
    test_unknown(LOSE_CALL);
    test_unknown(LOSE_REPLY);
    test_force();
    test_cancelled();
    TAP_INT(rig_close(), 0, "nothing is left behind");
    return tap_done();
}
