/* Any message as arguments of a restore: what opens can be written in pieces, each of which decodes
 * and which together hold every item once. */
#include "ic/candid_piece.h"
#include "tests/fuzz/target.h"

static const struct ic_candid_limits no_less = {.max_values = (size_t)1 << 20,
                                                .max_memory = (size_t)64 << 20};

static void check_piece(const struct ic_buf *piece)
{
    struct ic_candid *values = NULL;
    CLAIM(ic_candid_decode(piece->bytes, piece->len, &no_less, &values, NULL) == 0);
    ic_candid_free(values);
}

static void check_pieces(struct ic_pieces *pieces, size_t max_len)
{
    uint64_t count = ic_pieces_count(pieces), at = 0, n = 0;
    /* Elements without bytes may be many. */
    for (unsigned i = 0; i < 64 && (i == 0 || at < count); i++) {
        struct ic_buf piece = {0};
        CLAIM(ic_pieces_write(pieces, at, 1 + i % 7, max_len, &piece, &n, NULL) == 0);
        CLAIM(n <= 1 + i % 7 && n <= count - at && (n > 0 || count == 0));
        CLAIM(n <= 1 || piece.len <= max_len);
        check_piece(&piece);
        ic_buf_fini(&piece);
        at += n;
    }
}

static void check(const uint8_t *data, size_t size, const struct ic_piece_form *form)
{
    const struct ic_candid_limits limits = {.max_values = 65536, .max_memory = (size_t)8 << 20};
    struct ic_pieces *pieces = NULL;
    struct ic_candid *values = NULL;
    struct ic_error err = {0};
    bool decodes = ic_candid_decode(data, size, &limits, &values, NULL) == 0;
    int ret = ic_pieces_open(&pieces, data, size, form, NULL, &limits, &err);
    ic_candid_free(values);
    CLAIM(ret == 0 || !decodes || err.code != IC_E_MALFORMED);
    if (ret < 0)
        return;
    check_pieces(pieces, 0);
    check_pieces(pieces, size);
    check_pieces(pieces, SIZE_MAX);
    ic_pieces_close(pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ic_piece_field fields[] = {
        {0, true, 0, 1}, {1, false, 0, 2}, {2, false, 1, 0}};
    static const struct ic_piece_form forms[] = {
        {.has_items = true},
        {.has_items = false, .n_opts = 3},
        {.has_items = true, .n_opts = 1, .fields = fields, .n_fields = 3},
        {.has_items = true, .is_part = true, .part = 0},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        check(data, size, &forms[i]);
    return 0;
}
