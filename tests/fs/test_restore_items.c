/* Files of collections, restored to a canister that is pretended (restore_items_rig.h): in as few
 * calls as its limits allow, each item once; what the canister does not take is named. */
#include "tests/fs/restore_items_rig.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

TAP_STATE;

static void test_one_call(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_items_chunk", 1000, 20);
    struct stage *stage = rig_begin("backup_items_chunk", &file);
    rig_commit(stage, false, true, &out);
    TAP_INT(out.result, 0, "a dry run");
    TAP_INT(rig_canister->n_prepared, 0, "sends nothing");
    TAP_STR(out.summary,
            "would restore 1000 items in 1 call of restore_items_chunk, 29048 bytes in all",
            out.summary);
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, 0, out.err.message);
    TAP_INT(rig_canister->n_calls, 1, "one call");
    TAP_OK(rig_was_given(1000, 1), "gives every item once");
    TAP_STR(out.summary, "1000 items in 1 call of restore_items_chunk, 29048 bytes in all",
            out.summary);
    TAP_OK(out.progress.n_acked == file.len && out.progress.n_to_send == file.len &&
               out.progress.n_calls == 1,
           "progress tells all of it");
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, 0, "a repeat");
    TAP_INT(rig_canister->n_calls, 1, "calls nothing");
    stage_remove(stage);
    ic_buf_fini(&file);
}

static void test_empty(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_items_chunk", 0, 0);
    struct stage *stage = rig_begin("backup_items_chunk", &file);
    for (int i = 0; i < 2; i++) {
        rig_commit(stage, false, false, &out);
        TAP_INT(out.result, 0, out.err.message);
        TAP_INT(rig_canister->n_empty, 1, "a list without items is given once");
    }
    stage_remove(stage);
    ic_buf_fini(&file);
}

static void test_large(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_list", 1000, 10000);
    struct stage *stage = rig_begin("backup_list", &file);
    rig_canister->reply = "DIDL\1\x6b\2\x9c\xc2\1\x7f\xe5\x8e\xb4\2\x71\1\0\0";
    rig_canister->reply_len = 19;
    rig_commit(stage, false, true, &out);
    TAP_STR(out.summary,
            "would restore 1000 items in 5 calls of restore_list, 10010023 bytes in all",
            out.summary);
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, 0, out.err.message);
    TAP_INT(rig_canister->n_calls, 5, "as many calls as 10 MB take");
    TAP_OK(rig_was_given(1000, 1), "every item once");
    TAP_OK(rig_canister->n_backwards == 0 && rig_canister->most_at_once == 1, "in order");
    stage_remove(stage);
    ic_buf_fini(&file);
}

/* An item that no call can carry: nothing is sent, and it is named. */
static void test_too_large(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_list", 2, 2100000);
    struct stage *stage = rig_begin("backup_list", &file);
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, -EFBIG, "an item larger than a call");
    TAP_OK(strstr(out.err.message, "list: item 0 alone makes a call of 21000") != NULL,
           out.err.message);
    stage_remove(stage);
    ic_buf_fini(&file);

    file = rig_make_file("backup_whole", 3, 1000000);
    rig_choose("backup_whole");
    stage = rig_stage_of(file.bytes, file.len);
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, -EFBIG, "what is not given in pieces");
    TAP_OK(strstr(out.err.message, "split = yes") != NULL, out.err.message);
    TAP_INT(rig_canister->n_prepared, 0, "nothing was sent");
    stage_remove(stage);
    ic_buf_fini(&file);
}

/* Limits at any number of items: all are given, once, with few calls in vain. */
static void test_limits(void)
{
    unsigned n_wrong = 0, most_in_vain = 0;
    for (uint64_t i = 0; i < 300; i++) {
        uint64_t n = 1 + (i * 7919) % 1500, limit = 1 + (i * 104729) % (i % 3 ? 1500 : 20);
        uint64_t least = (n + limit - 1) / limit;
        struct ic_buf file = rig_make_file("backup_items_chunk", n, 3);
        struct stage *stage = rig_begin("backup_items_chunk", &file);
        rig_canister->limit = limit;
        rig_canister->limit_is_told = i % 2 == 0;
        n_wrong += !rig_restores_in_few(stage, n, 13 + least / 8, 2 * least + 2);
        if (rig_canister->n_too_much > most_in_vain)
            most_in_vain = rig_canister->n_too_much;
        ic_buf_fini(&file);
    }
    printf("# at most %u calls in vain\n", most_in_vain);
    TAP_INT(n_wrong, 0, "every item once, at most twice the calls it takes, few in vain");
}

/* The next file knows. */
static void test_limit_is_kept(void)
{
    struct ic_buf file = rig_make_file("backup_items_chunk", 1000, 3);
    rig_reset();
    rig_canister->limit = 130;
    rig_choose("backup_items_chunk");
    unsigned in_vain = 0;
    for (unsigned i = 1; i <= 3; i++) {
        struct rig_outcome out;
        struct stage *stage = rig_stage_of(file.bytes, file.len);
        rig_commit(stage, false, false, &out);
        TAP_OK(out.result == 0 && rig_was_given(1000, i), "every item of a file");
        if (i == 1)
            in_vain = rig_canister->n_too_much;
        stage_remove(stage);
    }
    TAP_OK(rig_canister->n_too_much <= in_vain + 2, "what works is known for the next file");
    ic_buf_fini(&file);
}

/* An item that the canister does not take is found, named, and all before it restored. */
static void test_bad_item(void)
{
    static const uint64_t bad[] = {0, 1, 499, 999};
    struct ic_buf file = rig_make_file("backup_items_chunk", 1000, 3);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rig_outcome out;
        struct stage *stage = rig_begin("backup_items_chunk", &file);
        rig_canister->bad = bad[i];
        rig_commit(stage, false, false, &out);
        rig_expect_bad(&out, bad[i], 1000);
        TAP_OK(rig_was_given(bad[i], 1), "all before it, and nothing behind");
        TAP_OK(rig_canister->n_calls <= 30, "in few calls");
        rig_canister->bad = RIG_NONE; /* mended */
        rig_commit(stage, false, false, &out);
        TAP_INT(out.result, 0, "a repeat goes on");
        TAP_OK(rig_was_given(1000, 1), "behind them");
        stage_remove(stage);
    }
    ic_buf_fini(&file);
}

/* What the reply says counts. */
static void test_replies(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_list", 10, 3);
    struct stage *stage = rig_begin("backup_list", &file);
    rig_canister->reply = "DIDL\1\x6b\2\x9c\xc2\1\x7f\xe5\x8e\xb4\2\x71\1\0\1\4full";
    rig_canister->reply_len = 24;
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, -EIO, "a variant err");
    TAP_STR(out.err.message, "list: items [0, 10) of 10: restore_list replied that it failed: full",
            out.err.message);
    stage_remove(stage);
    ic_buf_fini(&file);
}

static void test_bytes(void)
{
    struct rig_outcome out;
    uint8_t bytes[1000];
    memset(bytes, 0xd1, sizeof(bytes));
    rig_reset();
    rig_choose("backup_parts_chunk");
    struct stage *stage = rig_stage_of(bytes, sizeof(bytes));
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, 0, out.err.message);
    TAP_STR(out.summary, "all of it in 1 call of restore_parts, 1000 bytes in all", out.summary);
    TAP_INT((int64_t)rig_canister->n_bytes, 1000 + 11, "the blob itself is the argument");
    stage_remove(stage);
}

static void test_whole(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_whole", 50, 3);
    struct stage *stage = rig_begin("backup_whole", &file);
    rig_canister->reply = "DIDL\0\1\x7e\1";
    rig_canister->reply_len = 8;
    rig_canister->limit = 10;
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, -EIO, "more than the canister takes at once");
    TAP_INT(rig_canister->n_calls, 1, "is not split, for the second half might replace the first");
    rig_canister->limit = RIG_NONE;
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, 0, out.err.message);
    TAP_OK(rig_was_given(50, 1), "all of it");
    stage_remove(stage);
    ic_buf_fini(&file);
}

int main(void)
{
    if (!rig_open())
        return 1;
    test_one_call();
    test_empty();
    test_large();
    test_too_large();
    test_limits();
    test_limit_is_kept();
    test_bad_item();
    test_replies();
    test_bytes();
    test_whole();
    TAP_INT(rig_close(), 0, "nothing is left behind");
    return tap_done();
}
