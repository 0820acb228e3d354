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

void fs_stages_expect(struct fs_stages *stages, const struct fs_place *place, uint64_t size,
                      const uint8_t sha256[FS_SHA256_LEN])
{
    pthread_mutex_lock(&stages->lock);
    struct stages_expected *slot = NULL;
    for (size_t i = 0; !slot && i < FS_STAGES_N_EXPECTED; i++)
        if (stages->expected[i].is_set && fs_place_is_same(&stages->expected[i].place, place))
            slot = &stages->expected[i];
    if (!slot)
        slot = &stages->expected[stages->next_expected++ % FS_STAGES_N_EXPECTED];
    *slot =
        (struct stages_expected){.is_set = true, .place = *place, .has_size = true, .size = size};
    memcpy(slot->sha256, sha256, FS_SHA256_LEN);
    pthread_mutex_unlock(&stages->lock);
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

static int read_list(struct fs_staged *list, struct stages_expected *out, struct ic_error *err)
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

static int compare(struct fs_staged *staged, const struct stages_expected *expected,
                   const atomic_bool *cancel, struct ic_error *err)
{
    uint8_t hash[FS_SHA256_LEN];
    uint64_t size = stage_size(staged->stage);
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

int stages_check_expected(struct fs_staged *staged, const atomic_bool *cancel, struct ic_error *err)
{
    struct fs_stages *stages = staged->stages;
    struct stages_expected expected = {.is_set = false};
    pthread_mutex_lock(&stages->lock);
    for (size_t i = 0; i < FS_STAGES_N_EXPECTED; i++)
        if (stages->expected[i].is_set &&
            fs_place_is_same(&stages->expected[i].place, &staged->place))
            expected = stages->expected[i];
    pthread_mutex_unlock(&stages->lock);
    int result = expected.is_set ? compare(staged, &expected, cancel, err) : 0;
    struct fs_staged *list = result == 0 ? get_list(staged) : NULL;
    if (!list)
        return result;
    struct stages_expected listed = {.is_set = false};
    result = read_list(list, &listed, err);
    if (result == 0)
        result = compare(staged, &listed, cancel, err);
    stages_unuse(list);
    return result;
}

void stages_forget_expected(struct fs_staged *staged)
{
    struct fs_stages *stages = staged->stages;
    struct fs_staged *list = get_list(staged);
    pthread_mutex_lock(&stages->lock);
    for (size_t i = 0; i < FS_STAGES_N_EXPECTED; i++)
        if (fs_place_is_same(&stages->expected[i].place, &staged->place))
            stages->expected[i].is_set = false;
    if (list)
        stages_set_state_locked(list, FS_STAGED_GONE, "");
    pthread_mutex_unlock(&stages->lock);
    if (list)
        stages_unuse(list);
}
