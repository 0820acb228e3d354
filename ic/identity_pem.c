/* PEM files: see identity_pem.h.
 *
 * Not with OpenSSL's PEM reader: it cannot tell a cut file from one without a key, and leaves text
 * of the key in memory that it frees.
 */
#include "ic/identity_pem.h"

#include "ic/identity_decrypt.h"
#include "ic/identity_der.h"
#include "ic/identity_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEM_FILE_MAX 65536
#define LABEL_MAX    64
#define HEADERS_MAX  256
#define PARAMS_MAX   512 /* a curve written out has 230 bytes */

static int fail(const char *name, const char *why, struct ic_error *err)
{
    return ic_fail(err, IC_E_CONFIG, "identity file %.250s: %s", name, why);
}

static int fail_memory(const char *name, struct ic_error *err)
{
    return ic_fail(err, IC_E_NO_MEMORY, "identity file %.250s: out of memory", name);
}

/* ---- blocks ---- */

/* One block: label, header lines, decoded content. */
struct block {
    char label[LABEL_MAX];
    char headers[HEADERS_MAX]; /* "" when there are none */
    struct ic_view content;    /* in the reader's scratch memory, until the next block */
};

struct reader {
    struct ic_cursor rest;
    uint8_t *scratch; /* twice as large as the text: base64 without its line ends, then its bytes */
    size_t scratch_len;
};

/* The next line without its end and the white space before that. */
static bool next_line(struct ic_cursor *c, struct ic_view *line)
{
    const uint8_t *end;
    size_t left = ic_cursor_left(c), len;
    if (left == 0)
        return false;
    end = memchr(c->pos, '\n', left);
    len = end ? (size_t)(end - c->pos) : left;
    *line = ic_view(c->pos, len);
    c->pos += end ? len + 1 : len;
    while (line->len > 0 && strchr(" \t\r", line->bytes[line->len - 1]) &&
           line->bytes[line->len - 1])
        line->len--;
    return true;
}

/* Is the line "-----WORD LABEL-----"? */
static bool is_boundary(struct ic_view line, const char *word, char label[LABEL_MAX])
{
    static const char dashes[] = "-----";
    const size_t n = sizeof(dashes) - 1, word_len = strlen(word), around = 2 * n + word_len + 1;
    const uint8_t *p = line.bytes;
    size_t len;

    if (line.len < around || line.len - around >= LABEL_MAX)
        return false;
    len = line.len - around;
    if (memcmp(p, dashes, n) != 0 || memcmp(p + n, word, word_len) != 0 || p[n + word_len] != ' ' ||
        memcmp(p + line.len - n, dashes, n) != 0)
        return false;
    memcpy(label, p + n + word_len + 1, len);
    label[len] = '\0';
    return true;
}

static bool decode_base64(struct reader *r, size_t len, struct ic_view *out)
{
    const uint8_t *text = r->scratch;
    uint8_t *bytes = r->scratch + r->scratch_len / 2;
    int decoded, padding = 0;
    if (len == 0 || len % 4 != 0)
        return false;
    for (size_t i = len; i > len - 2 && text[i - 1] == '='; i--)
        padding++;
    decoded = EVP_DecodeBlock(bytes, text, (int)len); /* takes white space at the ends alone */
    if (decoded < 0 || decoded % 3 != 0 || decoded != (int)(len / 4 * 3))
        return false;
    *out = ic_view(bytes, (size_t)(decoded - padding));
    return true;
}

/* One line inside a block: of its headers or of its content. */
static bool add_line(struct reader *r, struct ic_view line, struct block *b, size_t *len)
{
    if (*len == 0 && memchr(line.bytes, ':', line.len)) {
        size_t used = strlen(b->headers);
        if (line.len + 2 > sizeof(b->headers) - used || memchr(line.bytes, '\0', line.len))
            return false;
        snprintf(b->headers + used, sizeof(b->headers) - used, "%.*s\n", (int)line.len,
                 (const char *)line.bytes);
        return true;
    }
    if (line.len > 0)
        memcpy(r->scratch + *len, line.bytes, line.len);
    *len += line.len;
    return true;
}

/* Returns 0, -ENOENT (no more), -EINVAL (with err). */
static int next_block(struct reader *r, const char *name, struct block *b, struct ic_error *err)
{
    char end[LABEL_MAX];
    struct ic_view line;
    size_t len = 0;

    do {
        if (!next_line(&r->rest, &line))
            return -ENOENT;
    } while (!is_boundary(line, "BEGIN", b->label));
    b->headers[0] = '\0';
    for (;;) {
        if (!next_line(&r->rest, &line))
            return fail(name, "it is cut: a block begins and does not end", err);
        if (is_boundary(line, "END", end))
            break;
        if (is_boundary(line, "BEGIN", end) || !add_line(r, line, b, &len))
            return fail(name, "it is damaged: lines inside a block are not of PEM", err);
    }
    if (strcmp(end, b->label) != 0 || !decode_base64(r, len, &b->content))
        return fail(name, "it is damaged: a block does not hold what it should", err);
    return 0;
}

/* ---- keys ---- */

/* Under a wrong password the padding of one block in 256 is right: then anything comes out, and
 * nobody must be told that the key is lost. */
static int fail_damaged(const char *name, bool was_locked, const char *why, struct ic_error *err)
{
    return ic_fail(err, IC_E_CONFIG, "identity file %.250s: %s%s", name,
                   was_locked ? "wrong password, or " : "", why);
}

/* The identity of a key that was read, which must agree with the public key beside it. */
static int make_identity(const char *name, bool was_locked, const struct ic_private_key *key,
                         struct ic_identity **out, struct ic_error *err)
{
    struct ic_identity *id = NULL;
    int ret = ic_identity_new_key(key->kind, key->secret, &id);
    if (ret == -EINVAL)
        return fail_damaged(name, was_locked, "the key in it is damaged: not a number of its curve",
                            err);
    if (ret < 0)
        return fail_memory(name, err);
    /* A compressed point says less; the private key says it all. */
    struct ic_view own = ic_identity_key_raw(key->kind, &id->der);
    if (key->public_key.len == own.len && !ic_view_equal(key->public_key, own)) {
        ic_identity_free(id);
        return fail_damaged(name, was_locked,
                            "the key in it is damaged: its public key does not belong to it", err);
    }
    *out = id;
    return 0;
}

/* Where keys in the file come from: their curve may be named by a block before them. */
struct source {
    const char *name;
    const struct ic_password *password;
    uint8_t params[PARAMS_MAX];
    size_t params_len;
};

/* was_locked: a password decrypted it. */
static int from_plain(const struct source *s, const char *label, bool was_locked,
                      struct ic_view der, struct ic_identity **out, struct ic_error *err)
{
    char why[IC_DER_WHY];
    struct ic_private_key key = {0};
    int ret = strcmp(label, "EC PRIVATE KEY") == 0
                  ? ic_identity_der_sec1(der, ic_view(s->params, s->params_len), &key, why)
                  : ic_identity_der_pkcs8(der, &key, why);
    if (ret == 0)
        ret = make_identity(s->name, was_locked, &key, out, err);
    else if (ret == -EBADMSG)
        ret = fail_damaged(s->name, was_locked, why, err);
    else
        ret = fail(s->name, why, err);
    OPENSSL_cleanse(&key, sizeof(key));
    return ret;
}

static bool is_label(const struct block *b, const char *label)
{
    return strcmp(b->label, label) == 0;
}

static int from_block(const struct source *s, const struct block *b, struct ic_identity **out,
                      struct ic_error *err)
{
    struct ic_secret plain = {0};
    int ret;
    if (is_label(b, "OPENSSH PRIVATE KEY"))
        return fail(s->name, "it is an OpenSSH key, which says nothing to the network", err);
    if (is_label(b, "RSA PRIVATE KEY") || is_label(b, "DSA PRIVATE KEY"))
        return fail(s->name,
                    "it is an RSA or DSA key, and only Ed25519, secp256k1 and P-256 can "
                    "be used",
                    err);
    if (is_label(b, "ENCRYPTED PRIVATE KEY"))
        ret = ic_identity_decrypt_pkcs8(s->name, b->content, s->password, &plain, err);
    else if (b->headers[0])
        ret =
            ic_identity_decrypt_headers(s->name, b->headers, b->content, s->password, &plain, err);
    else if (is_label(b, "PRIVATE KEY") || is_label(b, "EC PRIVATE KEY"))
        return from_plain(s, b->label, false, b->content, out, err);
    else
        return fail(s->name, "it holds a private key of an unknown kind", err);
    if (ret == 0)
        ret = from_plain(s, b->label, true, ic_view(plain.bytes, plain.len), out, err);
    ic_secret_fini(&plain);
    return ret;
}

static bool is_private_key(const struct block *b)
{
    static const char suffix[] = "PRIVATE KEY";
    size_t len = strlen(b->label), n = sizeof(suffix) - 1;
    return len >= n && strcmp(b->label + len - n, suffix) == 0;
}

static int fail_without_key(const char *name, bool has_public, bool has_certificate,
                            struct ic_error *err)
{
    return fail(name,
                has_public        ? "it holds a public key; the private one is needed"
                : has_certificate ? "it holds a certificate; the private key is needed"
                                  : "no PEM private key in it",
                err);
}

/* All blocks, for there must not be a second key. */
static int from_blocks(struct reader *r, struct source *s, struct ic_identity **out,
                       struct ic_error *err)
{
    bool has_public = false, has_certificate = false;
    struct ic_identity *id = NULL;
    struct block b;
    int ret;

    while ((ret = next_block(r, s->name, &b, err)) == 0) {
        has_public = has_public || is_label(&b, "PUBLIC KEY");
        has_certificate = has_certificate || is_label(&b, "CERTIFICATE");
        if (is_label(&b, "EC PARAMETERS") && b.content.len <= PARAMS_MAX) {
            memcpy(s->params, b.content.bytes, b.content.len);
            s->params_len = b.content.len;
        }
        if (!is_private_key(&b))
            continue;
        ret =
            id ? fail(s->name, "it holds several private keys", err) : from_block(s, &b, &id, err);
        if (ret < 0)
            break;
    }
    if (ret == -ENOENT)
        ret = id ? 0 : fail_without_key(s->name, has_public, has_certificate, err);
    if (ret < 0) {
        ic_identity_free(id);
        return ret;
    }
    *out = id;
    return 0;
}

int ic_identity_parse_pem(const char *name, struct ic_view text, const struct ic_password *password,
                          struct ic_identity **out, struct ic_error *err)
{
    struct source s = {.name = name, .password = password};
    struct reader r = {.rest = ic_cursor(text.bytes, text.len)};
    int ret;
    if (text.len >= PEM_FILE_MAX)
        return fail(name, "too large for a key file", err);
    r.scratch_len = 2 * (text.len + 1);
    r.scratch = malloc(r.scratch_len);
    if (!r.scratch)
        return fail_memory(name, err);
    ret = from_blocks(&r, &s, out, err);
    OPENSSL_cleanse(r.scratch, r.scratch_len);
    free(r.scratch);
    return ret;
}

/* ---- files ---- */

static const char *kind_of_file(mode_t mode)
{
    return S_ISDIR(mode)    ? "it is a directory"
           : S_ISFIFO(mode) ? "it is a pipe, not a regular file"
           : S_ISSOCK(mode) ? "it is a socket, not a regular file"
                            : "it is a device, not a regular file";
}

/* Read a whole file of at most cap bytes. Not through stdio, whose buffer could not be wiped. */
static int read_all(const char *path, int fd, uint8_t *bytes, size_t cap, size_t *len,
                    struct ic_error *err)
{
    *len = 0;
    while (*len < cap) {
        ssize_t n = read(fd, bytes + *len, cap - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(path, strerror(errno), err);
        if (n == 0)
            return 0;
        *len += (size_t)n;
    }
    return fail(path, "too large for a key file", err);
}

static int read_file(const char *path, uint8_t *bytes, size_t cap, size_t *len, bool *is_exposed,
                     struct ic_error *err)
{
    struct stat st;
    int ret, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fail(path, errno == ENXIO ? kind_of_file(S_IFSOCK) : strerror(errno), err);
    if (fstat(fd, &st) < 0)
        ret = fail(path, strerror(errno), err);
    else if (!S_ISREG(st.st_mode))
        ret = fail(path, kind_of_file(st.st_mode), err);
    else
        ret = read_all(path, fd, bytes, cap, len, err);
    *is_exposed = ret == 0 && (st.st_mode & 077) != 0;
    close(fd);
    return ret;
}

/* The key cannot be used here, but others may know how: tell who could have read it. */
static void add_exposure(struct ic_view pem, struct ic_error *err)
{
    static const char mark[] = "PRIVATE KEY-----";
    if (err && memmem(pem.bytes, pem.len, mark, sizeof(mark) - 1))
        ic_error_reword(err, "%.400s; others can read the key file: chmod 600 it", err->message);
}

int ic_identity_open_pem(const char *path, const struct ic_password *password,
                         struct ic_identity **out, struct ic_error *err)
{
    size_t len = 0;
    bool is_exposed = false;
    struct ic_identity *id = NULL;
    int ret;
    uint8_t *pem = malloc(PEM_FILE_MAX);
    if (!pem)
        return fail_memory(path, err);

    ret = read_file(path, pem, PEM_FILE_MAX, &len, &is_exposed, err);
    if (ret == 0)
        ret = ic_identity_parse_pem(path, ic_view(pem, len), password, &id, err);
    if (ret < 0 && is_exposed)
        add_exposure(ic_view(pem, len), err);
    if (id) {
        id->is_exposed = is_exposed;
        *out = id;
    }
    OPENSSL_cleanse(pem, PEM_FILE_MAX);
    free(pem);
    return ret;
}
