/* Principals: text form (CRC-32, base 32, dashes) and derivation from keys. */
#include "ic/principal.h"

#include "ic/sha.h"

#include <errno.h>
#include <string.h>

/* The last byte tells the class (IC interface spec, Special forms of Principals). */
#define CLASS_SELF_AUTHENTICATING 0x02
#define CLASS_ANONYMOUS           0x04

#define GROUP   5 /* characters between dashes */
#define CRC_LEN 4

static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648, in lower case */

/* CRC-32 of ISO 3309, bit by bit: at most 29 bytes. */
static uint32_t crc32_of(const uint8_t *bytes, size_t len)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

void ic_principal_format(const struct ic_principal *p, char out[IC_PRINCIPAL_TEXT])
{
    uint8_t bytes[CRC_LEN + IC_PRINCIPAL_MAX + 1] = {0}; /* and zero bits to fill the last group */
    uint32_t crc = crc32_of(p->bytes, p->len);
    size_t n_bits = 8 * (CRC_LEN + (size_t)p->len);
    size_t n_chars = 0;

    for (int i = 0; i < CRC_LEN; i++)
        bytes[i] = (uint8_t)(crc >> (24 - 8 * i));
    memcpy(bytes + CRC_LEN, p->bytes, p->len);

    for (size_t bit = 0; bit < n_bits; bit += 5) {
        unsigned window = (unsigned)bytes[bit / 8] << 8 | bytes[bit / 8 + 1];
        if (bit && bit % (5 * GROUP) == 0)
            out[n_chars++] = '-';
        out[n_chars++] = base32[window >> (11 - bit % 8) & 31];
    }
    out[n_chars] = '\0';
}

/* The value of a base 32 character in either case, -1 when it is none. */
static int base32_value(char c)
{
    if (c >= 'a' && c <= 'z')
        return c - 'a';
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= '2' && c <= '7')
        return c - '2' + 26;
    return -1;
}

/* Is text the canonical form of p, but for case? Catches wrong check sums, misplaced dashes and
 * stray bits in the last character. */
static bool is_text_of(const char *text, const struct ic_principal *p)
{
    char want[IC_PRINCIPAL_TEXT];
    size_t i = 0;

    ic_principal_format(p, want);
    for (; want[i] && text[i]; i++) {
        bool same = text[i] == want[i] ||
                    (base32_value(text[i]) >= 0 && base32_value(text[i]) == base32_value(want[i]));
        if (!same)
            return false;
    }
    return want[i] == text[i];
}

int ic_principal_parse(const char *text, struct ic_principal *out)
{
    uint8_t bytes[CRC_LEN + IC_PRINCIPAL_MAX];
    size_t len = 0;
    unsigned bits = 0, n_bits = 0;
    struct ic_principal p = {0};

    for (const char *c = text; *c; c++) {
        int value = base32_value(*c);
        if (*c == '-')
            continue;
        if (value < 0)
            return -EINVAL;
        bits = (bits << 5 | (unsigned)value) & 0xfff;
        n_bits += 5;
        if (n_bits < 8)
            continue;
        n_bits -= 8;
        if (len == sizeof(bytes))
            return -EINVAL;
        bytes[len++] = (uint8_t)(bits >> n_bits);
    }
    if (len < CRC_LEN)
        return -EINVAL;
    p.len = (uint8_t)(len - CRC_LEN);
    memcpy(p.bytes, bytes + CRC_LEN, p.len);
    if (!is_text_of(text, &p))
        return -EINVAL;
    *out = p;
    return 0;
}

int ic_principal_from_bytes(const uint8_t *bytes, size_t len, struct ic_principal *out)
{
    struct ic_principal p = {0};
    if (len > IC_PRINCIPAL_MAX)
        return -EINVAL;
    p.len = (uint8_t)len;
    if (len)
        memcpy(p.bytes, bytes, len);
    *out = p;
    return 0;
}

int ic_principal_self_authenticating(const uint8_t *der, size_t der_len, struct ic_principal *out)
{
    struct ic_principal p = {.len = IC_SHA224_LEN + 1};
    int ret = ic_sha224(der, der_len, p.bytes);
    if (ret < 0)
        return ret;
    p.bytes[IC_SHA224_LEN] = CLASS_SELF_AUTHENTICATING;
    *out = p;
    return 0;
}

struct ic_principal ic_principal_anonymous(void)
{
    return (struct ic_principal){.len = 1, .bytes = {CLASS_ANONYMOUS}};
}

struct ic_principal ic_principal_management(void)
{
    return (struct ic_principal){.len = 0};
}

bool ic_principal_is_equal(const struct ic_principal *a, const struct ic_principal *b)
{
    return ic_principal_compare(a, b) == 0;
}

int ic_principal_compare(const struct ic_principal *a, const struct ic_principal *b)
{
    return ic_view_compare(ic_principal_view(a), ic_principal_view(b));
}
