/* What a commit must be of: by a command, or by a file NAME.sha256 that was written beside NAME. */
#include "fs/stages_impl.h"
#include "ic/sha.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIX    ".sha256"
#define PIECE     ((size_t)1 << 20)
#define LIST_MAX  4096 /* bytes of such a file */
#define READ_NS   (120 * IC_NS_PER_SEC)
#define HEX_CHARS (2 * FS_SHA256_LEN)

static struct stages_expected *find_expected_locked(struct fs_stages *stages,
                                                    const struct fs_place *place)
{
    struct stages_expected *expected = stages->expected;
    while (expected && !fs_place_is_same(&expected->place, place))
        expected = expected->next;
    return expected;
}

int fs_stages_expect(struct fs_stages *stages, const struct fs_place *place, uint64_t size,
                     const uint8_t sha256[FS_SHA256_LEN])
{
    pthread_mutex_lock(&stages->lock);
    struct stages_expected *expected = find_expected_locked(stages, place);
    if (!expected && (expected = calloc(1, sizeof(*expected)))) {
        expected->place = *place;
        DL_APPEND(stages->expected, expected);
    }
    if (expected) {
        expected->content = (struct stages_content){.is_set = true, .has_size = true, .size = size};
        memcpy(expected->content.sha256, sha256, FS_SHA256_LEN);
    }
    pthread_mutex_unlock(&stages->lock);
    return expected ? 0 : -ENOMEM;
}

static void forget(struct fs_stages *stages, struct stages_expected *expected)
{
    DL_DELETE(stages->expected, expected);
    free(expected);
}

void stages_end_expected(struct fs_stages *stages)
{
    char path[FS_PLACE_PATH_MAX];
    while (stages->expected) {
        fs_tree_format_place(&stages->expected->place, path);
        fs_log_print(stages->config.log, FS_LOG_WARNING,
                     "%s: what is expected of it has not come; the next mount does not expect it",
                     path);
        forget(stages, stages->expected);
    }
}

/* --- NAME.sha256 --- */

/* The file that goes with a place, with a user; NULL: there is none. */
static struct fs_staged *get_list(struct fs_staged *staged)
{
    struct fs_stages *stages = staged->stages;
    char path[FS_PLACE_PATH_MAX + sizeof(SUFFIX)];
    pthread_mutex_lock(&stages->lock);
    snprintf(path, sizeof(path), "%s" SUFFIX, staged->path);
    struct fs_staged *other = stages->list;
    while (other && !(other->is_temporary && other->stage && other->name[0] &&
                      strcmp(other->path, path) == 0))
        other = other->next;
    if (other)
        stages_use_locked(other);
    pthread_mutex_unlock(&stages->lock);
    return other;
}

static int digit_of(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;
    return at ? (int)(at - digits) : -1;
}

bool fs_stages_parse_sha256(const char *text, uint8_t out[FS_SHA256_LEN])
{
    for (size_t i = 0; i < HEX_CHARS; i++) {
        int digit = digit_of(text[i]);
        if (digit < 0)
            return false;
        out[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : out[i / 2] | digit);
    }
    return true;
}

/* One line of sha256sum: the digits, a space, a space or an asterisk, a name; or the digits alone.
 */
static bool parse_list(const char *text, size_t len, uint8_t out[FS_SHA256_LEN])
{
    if (len < HEX_CHARS || !fs_stages_parse_sha256(text, out))
        return false;
    const char *rest = text + HEX_CHARS;
    size_t rest_len = len - HEX_CHARS;
    if (rest_len > 0 && rest[rest_len - 1] == '\n')
        rest_len--;
    if (memchr(rest, '\n', rest_len) || memchr(rest, '\0', rest_len))
        return false;
    return rest_len == 0 || (rest_len > 2 && rest[0] == ' ' && (rest[1] == ' ' || rest[1] == '*'));
}

static int read_list(struct fs_staged *list, struct stages_content *out, struct ic_error *err)
{
    char text[LIST_MAX];
    uint64_t size = stage_size(list->stage);
    const struct source_io io = {.deadline_ns = ic_wait_now_ns() + READ_NS};
    pthread_mutex_lock(&list->stages->lock);
    bool is_whole = list->state == FS_STAGED_OPEN && list->n_writers == 0;
    pthread_mutex_unlock(&list->stages->lock);
    bool is_good = is_whole && size > 0 && size <= sizeof(text) &&
                   stage_read(list->stage, NULL, 0, 0, text, size, &io) == 0 &&
                   parse_list(text, size, out->sha256);
    out->is_set = is_good;
    if (is_good)
        return 0;
    ic_fail(err, IC_E_CONFIG, "%s is not one line of sha256sum, whole", list->path);
    return -EINVAL;
}

/* --- its own note --- */

/* A byte: has_size; the size, 8 bytes, the lowest first; the hash. */
#define NOTE_LEN ((size_t)(1 + 8 + FS_SHA256_LEN))

int stages_note_expected(struct fs_staged *staged, const struct stages_content *content)
{
    uint8_t note[NOTE_LEN];
    if (!content)
        return stage_note(staged->stage, STAGES_NOTE_EXPECTED, NULL, 0);
    note[0] = content->has_size;
    for (size_t i = 0; i < 8; i++)
        note[1 + i] = (uint8_t)(content->size >> 8 * i);
    memcpy(note + 9, content->sha256, FS_SHA256_LEN);
    return stage_note(staged->stage, STAGES_NOTE_EXPECTED, note, sizeof(note));
}

static int read_note(struct fs_staged *staged, struct stages_content *out, struct ic_error *err)
{
    void *bytes = NULL;
    size_t len;
    int result = stage_get_note(staged->stage, STAGES_NOTE_EXPECTED, &bytes, &len);
    if (result == -ENOENT)
        return 0;
    if (result == 0 && len == NOTE_LEN) {
        const uint8_t *note = bytes;
        *out = (struct stages_content){.is_set = true, .has_size = note[0]};
        for (size_t i = 0; i < 8; i++)
            out->size |= (uint64_t)note[1 + i] << 8 * i;
        memcpy(out->sha256, note + 9, FS_SHA256_LEN);
    } else if (result == 0 && len > 0) {
        result = -EPROTO;
    }
    free(bytes);
    if (result < 0)
        ic_fail(err, IC_E_CONFIG, "what it must be cannot be read: %s", strerror(-result));
    return result;
}

/* --- all together --- */

/* Returns 0, or -EINVAL with err filled. */
static int join(struct stages_content *to, const struct stages_content *other, struct ic_error *err)
{
    if (!to->is_set || !other->is_set) {
        *to = to->is_set ? *to : *other;
        return 0;
    }
    bool is_same = memcmp(to->sha256, other->sha256, FS_SHA256_LEN) == 0 &&
                   !(to->has_size && other->has_size && to->size != other->size);
    if (!is_same) {
        ic_fail(err, IC_E_CONFIG, "it was to be something else than what is expected now");
        return -EINVAL;
    }
    if (other->has_size)
        *to = *other;
    return 0;
}

int stages_find_expected(struct fs_staged *staged, bool insists, struct stages_content *out,
                         struct ic_error *err)
{
    struct fs_stages *stages = staged->stages;
    struct stages_content found[3] = {{.is_set = false}};
    *out = found[0];
    pthread_mutex_lock(&stages->lock);
    const struct stages_expected *expected = find_expected_locked(stages, &staged->place);
    if (expected)
        found[0] = expected->content;
    pthread_mutex_unlock(&stages->lock);
    struct fs_staged *list = get_list(staged);
    int result = list ? read_list(list, &found[1], err) : 0;
    if (list)
        stages_unuse(list);
    if (result == 0 && !insists)
        result = read_note(staged, &found[2], err);
    for (size_t i = 0; result == 0 && i < 3; i++)
        result = join(out, &found[i], err);
    return result;
}

/* --- comparing --- */

static int hash_stage(struct fs_staged *staged, const atomic_bool *cancel,
                      uint8_t out[FS_SHA256_LEN], struct ic_error *err)
{
    struct source *base = staged->has_base ? staged->base.source : NULL;
    uint64_t version = staged->has_base ? staged->base.stat.version : 0;
    uint64_t size = stage_size(staged->stage);
    struct ic_sha256 *hash = NULL;
    char *buf = malloc(PIECE);
    int result = buf ? ic_sha256_new(&hash) : -ENOMEM;
    if (result == 0)
        result = ic_sha256_begin(hash);
    for (uint64_t off = 0; result == 0 && off < size;) {
        size_t len = size - off < PIECE ? (size_t)(size - off) : PIECE;
        const struct source_io io = {.deadline_ns = ic_wait_now_ns() + READ_NS, .cancel = cancel};
        const struct ic_io waiting = {.deadline_ns = io.deadline_ns, .cancel = cancel};
        result = ic_wait_check(&waiting);
        if (result == 0)
            result = stage_read(staged->stage, base, version, off, buf, len, &io);
        if (result == 0)
            result = ic_sha256_add(hash, buf, len);
        off += len;
    }
    if (result == 0)
        result = ic_sha256_end(hash, out);
    ic_sha256_free(hash);
    free(buf);
    if (result < 0)
        ic_fail(err, IC_E_CONFIG, "its SHA-256 cannot be told: %s", strerror(-result));
    return result;
}

int stages_check_expected(struct fs_staged *staged, const struct stages_content *expected,
                          const atomic_bool *cancel, struct ic_error *err)
{
    uint8_t hash[FS_SHA256_LEN];
    uint64_t size = stage_size(staged->stage);
    if (!expected->is_set)
        return 0;
    if (expected->has_size && size != expected->size) {
        ic_fail(err, IC_E_CONFIG, "it has %llu bytes, and %llu are expected",
                (unsigned long long)size, (unsigned long long)expected->size);
        return -EINVAL;
    }
    staged->progress.phase = FS_RESTORE_CHECKING;
    int result = hash_stage(staged, cancel, hash, err);
    if (result < 0 || memcmp(hash, expected->sha256, sizeof(hash)) == 0)
        return result;
    ic_fail(err, IC_E_CONFIG, "its SHA-256 is not the one that is expected");
    return -EINVAL;
}

void stages_forget_expected(struct fs_staged *staged)
{
    struct fs_stages *stages = staged->stages;
    struct fs_staged *list = get_list(staged);
    pthread_mutex_lock(&stages->lock);
    struct stages_expected *expected = find_expected_locked(stages, &staged->place);
    if (expected)
        forget(stages, expected);
    if (list)
        stages_set_state_locked(list, FS_STAGED_GONE, "");
    pthread_mutex_unlock(&stages->lock);
    if (list)
        stages_unuse(list);
}
