/* What a stage remembers of the calls of its commits: see restore_items_impl.h.
 *
 *     version 1 | state | hash 32 | start 8 | end 8 | expiry 8 | request id 32      little endian
 */
#include "fs/restore_items_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KIND    (FS_NOTE_RESTORER + 32)
#define VERSION 1
#define LEN     (2 + IC_SHA256_LEN + 3 * 8 + IC_REQUEST_ID_LEN)

static uint8_t *put(uint8_t *to, const void *bytes, size_t len)
{
    memcpy(to, bytes, len);
    return to + len;
}

static uint8_t *put_number(uint8_t *to, uint64_t number)
{
    for (int i = 0; i < 8; i++)
        *to++ = (uint8_t)(number >> (8 * i));
    return to;
}

static const uint8_t *get_number(const uint8_t *from, uint64_t *out)
{
    *out = 0;
    for (int i = 0; i < 8; i++)
        *out |= (uint64_t)*from++ << (8 * i);
    return from;
}

static const uint8_t *get(const uint8_t *from, void *out, size_t len)
{
    memcpy(out, from, len);
    return from + len;
}

int items_note_write(const struct items_note *note, struct ic_error *err)
{
    uint8_t bytes[LEN] = {VERSION, (uint8_t)note->state};
    uint8_t *to = put(bytes + 2, note->hash, sizeof(note->hash));
    to = put_number(to, note->start);
    to = put_number(to, note->end);
    to = put_number(to, note->expiry_ns);
    put(to, note->request_id, sizeof(note->request_id));
    int result = stage_note(note->stage, KIND, bytes, sizeof(bytes));
    if (result < 0) {
        /* The errno is the disk's, which has no class of its own here. */
        ic_fail(err, IC_E_CONFIG, "what is sent cannot be noted in the staging directory: %s",
                strerror(-result));
    }
    return result;
}

static bool decode(const uint8_t *bytes, size_t len, struct items_note *out)
{
    if (len != LEN || bytes[0] != VERSION || bytes[1] < ITEMS_CALL_SENT ||
        bytes[1] > ITEMS_CALL_FAILED)
        return false;
    *out = (struct items_note){.state = (enum items_call_state)bytes[1]};
    const uint8_t *from = get(bytes + 2, out->hash, sizeof(out->hash));
    from = get_number(from, &out->start);
    from = get_number(from, &out->end);
    from = get_number(from, &out->expiry_ns);
    get(from, out->request_id, sizeof(out->request_id));
    return out->start <= out->end;
}

/* --- all of them --- */

struct reading {
    struct items_history *out;
    uint8_t hash[IC_SHA256_LEN]; /* of the file that the notes so far are about */
};

static int add_open(struct items_history *history, const struct items_note *note)
{
    if (history->n_open == history->size) {
        size_t size = history->size ? 2 * history->size : 8;
        struct items_note *open = realloc(history->open, size * sizeof(*open));
        if (!open)
            return -ENOMEM;
        history->open = open;
        history->size = size;
    }
    history->open[history->n_open++] = *note;
    return 0;
}

static void end_open(struct items_history *history, const struct items_note *note)
{
    for (size_t i = history->n_open; i-- > 0;)
        if (memcmp(history->open[i].request_id, note->request_id, sizeof(note->request_id)) == 0) {
            history->open[i] = history->open[--history->n_open];
            return;
        }
}

/* What was restored of one file does not count any more once another was begun. */
static void turn_to(struct reading *reading, const uint8_t hash[IC_SHA256_LEN])
{
    if (memcmp(reading->hash, hash, sizeof(reading->hash)) == 0)
        return;
    items_done_clear(&reading->out->done);
    memcpy(reading->hash, hash, sizeof(reading->hash));
}

static int take_note(void *arg, const void *bytes, size_t len)
{
    struct reading *reading = arg;
    struct items_history *history = reading->out;
    struct items_note note;
    if (!decode(bytes, len, &note))
        return -EPROTO;
    history->has_begun = true;
    turn_to(reading, note.hash);
    if (note.state == ITEMS_CALL_SENT)
        return add_open(history, &note);
    end_open(history, &note);
    return note.state == ITEMS_CALL_DONE ? items_done_add(&history->done, note.start, note.end) : 0;
}

int items_history_read(struct stage *stage, const uint8_t hash[IC_SHA256_LEN],
                       struct items_history *out, struct ic_error *err)
{
    struct reading reading = {.out = out};
    *out = (struct items_history){0};
    int result = stage_for_each_note(stage, KIND, take_note, &reading);
    if (result == -EPROTO)
        return ic_fail(err, IC_E_MALFORMED,
                       "the journal in the staging directory is not of this program");
    if (result == -ENOMEM)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    if (result < 0) {
        ic_fail(err, IC_E_CONFIG, "the journal in the staging directory cannot be read: %s",
                strerror(-result));
        return result;
    }
    turn_to(&reading, hash);
    for (size_t i = 0; i < out->n_open; i++)
        out->open[i].stage = stage;
    return 0;
}

void items_history_close(struct items_history *history)
{
    items_done_fini(&history->done);
    free(history->open);
}
