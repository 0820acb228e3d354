/* The note of call-ranges: what is written is read, whatever else is there is refused. */
#include "fs/call_ranges_note.h"
#include "tests/tap.h"

#include <errno.h>
#include <string.h>

TAP_STATE;

#define CHECK(cond) TAP_OK((cond), #cond)
#define X32         "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static bool is_same(const struct call_ranges_note *a, const struct call_ranges_note *b)
{
    return strcmp(a->method, b->method) == 0 && a->total == b->total && a->done == b->done &&
           a->step == b->step && a->has_call == b->has_call && a->to == b->to &&
           a->expiry_ns == b->expiry_ns &&
           memcmp(a->request_id, b->request_id, sizeof(a->request_id)) == 0;
}

/* Is it read as it was written, and no part of it? */
static void check_text(const struct call_ranges_note *note)
{
    char text[CALL_RANGES_NOTE_MAX];
    struct call_ranges_note got;
    size_t n_taken = 0;
    size_t len = call_ranges_note_format(note, text);
    CHECK(len < sizeof(text));
    CHECK(call_ranges_note_parse(text, len, &got) == 0 && is_same(&got, note));
    for (size_t cut = 0; cut < len; cut++)
        n_taken += call_ranges_note_parse(text, cut, &got) != -EPROTO;
    TAP_INT((int64_t)n_taken, 0, "no part of it is taken for all of it");
    for (size_t i = 0; i < len; i++) {
        static const char others[] = {'\0', '\n', ' ', '-'};
        for (size_t k = 0; k < sizeof(others); k++) {
            char other[CALL_RANGES_NOTE_MAX];
            memcpy(other, text, len);
            other[i] = others[k];
            /* In the method any byte but these may be. */
            bool is_in_method = text[i] == 'm' || text[i] == others[k];
            n_taken += !is_in_method && call_ranges_note_parse(other, len, &got) != -EPROTO;
        }
    }
    TAP_INT((int64_t)n_taken, 0, "nor with another byte");
}

static void test_text(void)
{
    struct call_ranges_note note = {
        .method = "m",
        .total = 250,
        .done = 62,
        .step = 62,
        .has_call = true,
        .to = 124,
        .request_id = {1, 2, 0xfe, 0xff},
        .expiry_ns = 1790000240000000000,
    };
    check_text(&note);
    check_text(&(struct call_ranges_note){.method = "m", .step = 1});
    note = (struct call_ranges_note){
        .total = UINT64_MAX, .done = UINT64_MAX - 1, .step = UINT64_MAX, .has_call = true};
    note.to = note.expiry_ns = UINT64_MAX;
    memset(note.method, 'm', sizeof(note.method) - 1);
    memset(note.request_id, 0xff, sizeof(note.request_id));
    check_text(&note);
}

static void test_refused(void)
{
    static const char *const texts[] = {
        "",
        "\n\n\n\n",
        "canisterfs ranges 2\nm 250\n62 62\nnone\n",
        "canisterfs ranges 1 \nm 250\n62 62\nnone\n",
        "canisterfs ranges 1\nm 250\n62 62\nnone\n\n",
        "canisterfs ranges 1\nm 250\n62 62\nnone\nnone\n",
        "canisterfs ranges 1\n 250\n62 62\nnone\n",
        "canisterfs ranges 1\n250\n62 62\nnone\n",
        "canisterfs ranges 1\nm\n62 62\nnone\n",
        "canisterfs ranges 1\nm 250 1\n62 62\nnone\n",
        "canisterfs ranges 1\nm 18446744073709551616\n62 62\nnone\n",
        "canisterfs ranges 1\nm -250\n62 62\nnone\n",
        "canisterfs ranges 1\nm 250\n251 62\nnone\n",
        "canisterfs ranges 1\nm 250\n62 0\nnone\n",
        "canisterfs ranges 1\nm 250\n62\nnone\n",
        "canisterfs ranges 1\nm 250\n62 62\nnone \n",
        "canisterfs ranges 1\nm 250\n62 62\n\n",
        "canisterfs ranges 1\nm 250\n62 62\nsend 62 124 " X32 " 1\n",
        "canisterfs ranges 1\nm 250\n62 62\ncall 61 124 " X32 " 1\n",
        "canisterfs ranges 1\nm 250\n62 62\ncall 62 62 " X32 " 1\n",
        "canisterfs ranges 1\nm 250\n62 62\ncall 62 251 " X32 " 1\n",
        "canisterfs ranges 1\nm 250\n62 62\ncall 62 124 " X32 "\n",
        "canisterfs ranges 1\nm 250\n62 62\ncall 62 124 " X32 "0 1\n",
        "canisterfs ranges 1\nm 250\n62 62\ncall 62 124 " X32 " 1 2\n",
        "canisterfs ranges 1\nm 250\n62 62\ncall 62 124 " X32 " 18446744073709551616\n",
        "canisterfs ranges 1\nm 250\n62 62\ncall 62 124\n",
        "canisterfs ranges 1\nm 250\n62 62\ncall\n",
    };
    struct call_ranges_note got;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (!CHECK(call_ranges_note_parse(texts[i], strlen(texts[i]), &got) == -EPROTO))
            printf("# text %zu\n", i);
    char text[CALL_RANGES_NOTE_MAX + 100];
    for (size_t len = CALL_RANGES_METHOD_MAX - 1; len <= CALL_RANGES_METHOD_MAX; len++) {
        char method[CALL_RANGES_METHOD_MAX + 1];
        memset(method, 'm', len);
        method[len] = '\0';
        int n = snprintf(text, sizeof(text), "canisterfs ranges 1\n%s 250\n62 62\nnone\n", method);
        CHECK(call_ranges_note_parse(text, (size_t)n, &got) ==
              (len < CALL_RANGES_METHOD_MAX ? 0 : -EPROTO));
    }
    memset(text, 'm', sizeof(text));
    CHECK(call_ranges_note_parse(text, sizeof(text), &got) == -EPROTO);
}

int main(void)
{
    test_text();
    test_refused();
    return tap_done();
}
