/* A file that the canister gives already is not sent, unless the user insists; in doubt it is. */
#include "tests/fs/restore_items_rig.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

TAP_STATE;

static void test_same(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_items_chunk", 100, 3);
    struct rig_present present = {.bytes = file.bytes, .len = file.len};
    struct stage *stage = rig_begin("backup_items_chunk", &file);
    rig_present = &present;
    rig_commit(stage, false, true, &out);
    TAP_STR(out.summary, "already so, nothing would be sent", "a dry run says so");
    TAP_INT(present.n_certified, 0, "and makes no update for it");
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, 0, "what is there already");
    TAP_STR(out.summary, "already so, nothing sent", "is not sent");
    TAP_OK(out.progress.was_same && out.progress.n_calls == 0, "as progress tells");
    TAP_INT(rig_canister->n_prepared, 0, "indeed");
    rig_commit(stage, true, false, &out);
    TAP_INT(out.result, 0, "with force");
    TAP_OK(rig_was_given(100, 1) && !out.progress.was_same, "it is");
    TAP_INT(present.n_asked, 3, "without asking");
    TAP_INT(present.n_certified, 1, "once it was certified before");
    stage_remove(stage);
    ic_buf_fini(&file);
}

/* A node that lags behind answers with what was there before the last restore. */
static void test_lagging(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_items_chunk", 100, 3);
    struct ic_buf newer = rig_make_file("backup_items_chunk", 99, 3);
    const int results[] = {0, -EIO};
    const char *const words[] = {"what only one node has is sent",
                                 "as is what the subnet does not tell of"};
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        struct rig_present present = {.bytes = file.bytes,
                                      .len = file.len,
                                      .newer = newer.bytes,
                                      .newer_len = newer.len,
                                      .certified_result = results[i]};
        struct stage *stage = rig_begin("backup_items_chunk", &file);
        rig_present = &present;
        rig_commit(stage, false, false, &out);
        TAP_OK(out.result == 0 && present.n_certified == 1 && !out.progress.was_same &&
                   rig_was_given(100, 1),
               words[i]);
        stage_remove(stage);
    }
    ic_buf_fini(&newer);
    ic_buf_fini(&file);
}

static void test_different(void)
{
    struct ic_buf file = rig_make_file("backup_items_chunk", 100, 3);
    struct ic_buf longer = rig_make_file("backup_items_chunk", 101, 3);
    struct ic_buf other = rig_make_file("backup_items_chunk", 100, 3);
    other.bytes[other.len - 12] ^= 1;
    const struct {
        const char *words;
        struct rig_present present;
    } cases[] = {
        {"an item more", {.bytes = longer.bytes, .len = longer.len}},
        {"another bit", {.bytes = other.bytes, .len = other.len}},
        {"a part of it", {.bytes = file.bytes, .len = file.len - 1}},
        {"a canister that cannot be read", {.result = -EIO}},
        {"one that may not be", {.result = -EACCES}},
        {"one that changed while it was read", {.result = -ESTALE}},
        {"a network that is slow", {.result = -ETIMEDOUT}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig_present present = cases[i].present;
        struct rig_outcome out;
        struct stage *stage = rig_begin("backup_items_chunk", &file);
        rig_present = &present;
        rig_commit(stage, false, false, &out);
        TAP_OK(out.result == 0 && present.n_asked == 1 && !out.progress.was_same &&
                   rig_was_given(100, 1),
               cases[i].words);
        stage_remove(stage);
    }
    ic_buf_fini(&file);
    ic_buf_fini(&longer);
    ic_buf_fini(&other);
}

/* Half of it was given before: somebody else has seen to the rest. */
static void test_half_way(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_items_chunk", 100, 3);
    struct rig_present present = {.bytes = file.bytes, .len = file.len};
    struct stage *stage = rig_begin("backup_items_chunk", &file);
    rig_canister->bad = 50;
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, -EIO, "half of it");
    rig_present = &present;
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, 0, "a repeat when all of it is there");
    TAP_OK(out.progress.was_same && rig_was_given(50, 1), "sends nothing");
    stage_remove(stage);
    ic_buf_fini(&file);
}

/* Of a collection whose files cannot be split one may replace everything: then the others have to
 * follow, the same or not. A collection that is one file is all there is. */
static void test_replacing(void)
{
    struct rig_outcome out;
    const char parts[] = "parts of something";
    struct ic_buf file = rig_make_file("backup_whole", 50, 3);
    struct rig_present present = {.bytes = parts, .len = sizeof(parts)};
    rig_reset();
    rig_choose("backup_parts_chunk");
    rig_present = &present;
    struct stage *stage = rig_stage_of(parts, sizeof(parts));
    rig_commit(stage, false, false, &out);
    TAP_OK(out.result == 0 && !out.progress.was_same && rig_canister->n_calls == 1,
           "what may replace all that there is, is sent");
    TAP_INT(present.n_asked, 0, "without asking");
    stage_remove(stage);
    rig_choose("backup_whole");
    present = (struct rig_present){.bytes = file.bytes, .len = file.len};
    stage = rig_stage_of(file.bytes, file.len);
    rig_commit(stage, false, false, &out);
    TAP_OK(out.result == 0 && out.progress.was_same, "a collection of one file is not");
    stage_remove(stage);
    ic_buf_fini(&file);
}

/* A call may still run: that comes first. */
static void test_unknown(void)
{
    struct rig_outcome out;
    struct ic_buf file = rig_make_file("backup_items_chunk", 100, 3);
    struct rig_present present = {.bytes = file.bytes, .len = file.len};
    struct stage *stage = rig_begin("backup_items_chunk", &file);
    rig_canister->accident = LOSE_CALL;
    rig_canister->is_forgetful = true;
    rig_commit(stage, false, false, &out);
    TAP_INT(out.err.code, IC_E_UNKNOWN_OUTCOME, "a call whose outcome is not known");
    rig_present = &present;
    rig_commit(stage, false, false, &out);
    TAP_INT(out.err.code, IC_E_UNKNOWN_OUTCOME, "may still run, whatever is there now");
    TAP_INT(present.n_asked, 0, "which is not asked for then");
    stage_remove(stage);
    ic_buf_fini(&file);
}

int main(void)
{
    if (!rig_open())
        return 1;
    test_same();
    test_lagging();
    test_different();
    test_half_way();
    test_replacing();
    test_unknown();
    TAP_INT(rig_close(), 0, "nothing is left behind");
    return tap_done();
}
