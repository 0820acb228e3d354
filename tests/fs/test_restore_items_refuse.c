/* What is no file of a collection is refused before anything is sent. */
#include "ic/candid_text.h"
#include "tests/fs/restore_items_rig.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

TAP_STATE;

static void refuse(const void *bytes, size_t len, const char *words)
{
    struct rig_outcome out;
    struct stage *stage = rig_stage_of(bytes, len);
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, -EINVAL, words);
    TAP_OK(strstr(out.err.message, words) != NULL, out.err.message);
    stage_remove(stage);
}

static void test_refusals(void)
{
    struct ic_buf file = rig_make_file("backup_items_chunk", 3, 3),
                  list = rig_make_file("backup_list", 3, 3);
    unsigned n_wrong = 0;
    rig_reset();
    rig_choose("backup_items_chunk");
    refuse("", 0, "items: it is empty");
    refuse("{\"chunk\": []}", 13, "it is not what backup_items_chunk gives: candid: not a message");
    refuse(list.bytes, list.len, "its type is not what backup_items_chunk gives");
    refuse("DIDL\1\x6e\x7d\1\0\0", 10, "it is not what backup_items_chunk gives");
    for (size_t len = 1; len < file.len; len++) {
        struct rig_outcome out;
        struct stage *stage = rig_stage_of(file.bytes, len);
        rig_commit(stage, false, false, &out);
        n_wrong += out.result != -EINVAL;
        stage_remove(stage);
    }
    TAP_INT(n_wrong, 0, "a file cut short anywhere");
    ic_buf_append(&file, "x", 1);
    refuse(file.bytes, file.len, "trailing bytes");

    const struct stage_purpose purpose = {.target = "t", .base_size = file.len};
    struct rig_outcome out;
    struct stage *stage;
    TAP_INT(stage_new(&stage, rig_dir_fd, "1", &purpose), 0, "over a base");
    TAP_INT(stage_write(stage, 0, "DIDL", 4), 0, "of which a part is written");
    rig_commit(stage, false, false, &out);
    TAP_INT(out.result, -EINVAL, out.err.message);
    stage_remove(stage);

    rig_choose("backup_list");
    refuse("DIDL\2\x6d\1\x6c\1\0\x78\1\0\0", 14, "its type is not what backup_list gives");
    TAP_INT(rig_canister->n_prepared, 0, "nothing was sent for any of them");
    ic_buf_fini(&file);
    ic_buf_fini(&list);
}

/* A type of before, whose items have a field that is not taken any more, or one less. */
static void test_older_types(void)
{
    static const char older[] =
        RIG_TYPES "type More = record { id : nat64; body : text; gone : nat };"
                  "service : { more : () -> (vec More) query }";
    struct ic_did *old;
    struct ic_error err = {0};
    rig_reset();
    rig_choose("backup_list");
    TAP_INT(ic_did_parse(older, strlen(older), NULL, &old, &err), 0, err.message);
    const struct ic_type *type = ic_did_find_method(old, "more")->type->as.func.results[0];
    struct ic_candid *values = NULL;
    const char *text = "(vec { record { id = 1; body = \"a\"; gone = 7 } })";
    struct ic_buf file = {0};
    TAP_INT(ic_candid_parse(text, strlen(text), &type, 1, 0, &values, &err), 0, err.message);
    TAP_INT(ic_candid_encode(ic_candid_arg(values, 0), 1, &file, &err), 0, "an older file");
    refuse(file.bytes, file.len, "restore_list would not take all that is in it");
    TAP_INT(rig_canister->n_prepared, 0, "nothing was sent");
    ic_candid_free(values);
    ic_buf_fini(&file);
    ic_did_free(old);
}

int main(void)
{
    if (!rig_open())
        return 1;
    test_refusals();
    test_older_types();
    TAP_INT(rig_close(), 0, "nothing is left behind");
    return tap_done();
}
