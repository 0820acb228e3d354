/* Numbers in decimal: see candid_number.h.
 *
 * Whole numbers over 64 bits go through OpenSSL's BIGNUM. Floats go through strtod and printf, but
 * without a decimal point, which the locale chooses: "1.5" is read as "15e-1", and of what "%e"
 * writes only the digits and the exponent are taken.
 */
#include "ic/candid_number.h"

#include "ic/candid_impl.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- whole numbers from text ---- */

static bool is_hex(struct ic_view digits)
{
    return digits.len > 2 && digits.bytes[1] == 'x';
}

static unsigned digit_value(uint8_t c)
{
    return c <= '9' ? (unsigned)c - '0' : ((unsigned)c | 0x20) - 'a' + 10;
}

/* False when it is over 64 bits. */
static bool parse_u64(struct ic_view digits, uint64_t *out)
{
    unsigned base = is_hex(digits) ? 16 : 10;
    uint64_t n = 0;
    for (size_t i = base == 16 ? 2 : 0; i < digits.len; i++) {
        if (digits.bytes[i] == '_')
            continue;
        if (__builtin_mul_overflow(n, base, &n) ||
            __builtin_add_overflow(n, digit_value(digits.bytes[i]), &n))
            return false;
    }
    *out = n;
    return true;
}

static unsigned bits_of(enum ic_type_kind kind)
{
    return (unsigned)candid_fixed_width(kind) * 8;
}

static bool is_signed_kind(enum ic_type_kind kind)
{
    return kind == IC_TYPE_INT || (kind >= IC_TYPE_INT8 && kind <= IC_TYPE_INT64);
}

bool candid_integer_fits(struct ic_view digits, bool is_negative, enum ic_type_kind kind)
{
    uint64_t n, max;

    if (kind == IC_TYPE_INT)
        return true;
    if (!is_signed_kind(kind) && is_negative) /* nor does -0, as in didc */
        return false;
    if (kind == IC_TYPE_NAT)
        return true;
    max = UINT64_MAX >> (64 - bits_of(kind));
    if (is_signed_kind(kind))
        max = max / 2 + is_negative;
    return parse_u64(digits, &n) && n <= max;
}

/* The magnitude without sign, underscores, 0x and leading zeros, as a string for BIGNUM. */
static int copy_digits(struct ic_view digits, char **out)
{
    size_t n = 0, i = is_hex(digits) ? 2 : 0;
    char *text;

    while (i < digits.len && (digits.bytes[i] == '0' || digits.bytes[i] == '_'))
        i++;
    /* Hexadecimal digits are fewer, so this bounds the work on both. */
    if (digits.len - i > (size_t)CANDID_LEB_MAX * 8)
        return -E2BIG;
    text = malloc(digits.len - i + 1);
    if (!text)
        return -ENOMEM;
    for (; i < digits.len; i++)
        if (digits.bytes[i] != '_')
            text[n++] = (char)digits.bytes[i];
    text[n] = '\0';
    *out = text;
    return 0;
}

/* Seven bits of a little-endian number from this bit on; zeros behind its end. */
static uint8_t seven_bits(const uint8_t *bytes, size_t len, size_t bit)
{
    unsigned two = bit / 8 < len ? bytes[bit / 8] : 0;
    if (bit / 8 + 1 < len)
        two |= (unsigned)bytes[bit / 8 + 1] << 8;
    return (uint8_t)(two >> (bit % 8) & 0x7f);
}

/* Append LEB128 of a magnitude; of an int SLEB128, whose negative numbers are those of |n| - 1 with
 * every bit turned. */
static int leb_from_bignum(BIGNUM *n, bool is_negative, bool is_signed, struct ic_arena *arena,
                           struct ic_view *out)
{
    uint8_t bytes[CANDID_LEB_MAX], *leb;
    size_t bits, groups;
    void *memory;
    int ret, len = BN_num_bytes(n);

    if (len > (int)sizeof(bytes))
        return -E2BIG;
    if (is_negative && !BN_sub_word(n, 1))
        return -ENOMEM;
    if (BN_bn2lebinpad(n, bytes, len) < 0)
        return -ENOMEM;
    bits = (size_t)BN_num_bits(n) + is_signed;
    groups = bits ? (bits + 6) / 7 : 1;
    if (groups > CANDID_LEB_MAX)
        return -E2BIG;
    ret = ic_arena_alloc(arena, groups, 1, &memory);
    if (ret < 0)
        return ret;
    leb = memory;
    for (size_t i = 0; i < groups; i++) {
        leb[i] = seven_bits(bytes, (size_t)len, 7 * i) ^ (is_negative ? 0x7f : 0);
        leb[i] |= i + 1 < groups ? 0x80 : 0;
    }
    *out = ic_view(leb, groups);
    return 0;
}

static int parse_bignum(struct ic_view digits, BIGNUM **out)
{
    char *text = NULL;
    int done, ret = copy_digits(digits, &text);
    if (ret < 0)
        return ret;
    if (!*text) {
        free(text);
        *out = BN_new();
        return *out ? 0 : -ENOMEM;
    }
    done = is_hex(digits) ? BN_hex2bn(out, text) : BN_dec2bn(out, text);
    free(text);
    return done ? 0 : -ENOMEM;
}

int candid_integer_parse(struct ic_view digits, bool is_negative, struct ic_arena *arena,
                         struct ic_value *out)
{
    enum ic_type_kind kind = out->type->kind;
    BIGNUM *n = NULL;
    uint64_t small = 0;
    int ret;

    if (candid_fixed_width(kind)) {
        if (!parse_u64(digits, &small))
            return -E2BIG;
        if (is_signed_kind(kind))
            out->as.integer = (int64_t)(is_negative ? 0 - small : small);
        else
            out->as.nat = small;
        return 0;
    }
    ret = parse_bignum(digits, &n);
    if (ret == 0)
        ret = leb_from_bignum(n, is_negative && !BN_is_zero(n), kind == IC_TYPE_INT, arena,
                              &out->as.leb);
    BN_free(n);
    return ret;
}

/* ---- floats from text ---- */

#define FLOAT_TEXT_MAX 4096 /* characters; the longest we print has 326 */

/* Digits and exponent of "12.5e3", as strtod takes them in every locale: "125e2". */
static int without_point(struct ic_view digits, char text[FLOAT_TEXT_MAX + 32])
{
    size_t i = 0, n = 0;
    long exponent = 0, fraction = 0;
    bool is_behind_point = false, is_negative = false;

    if (digits.len > FLOAT_TEXT_MAX)
        return -E2BIG;
    for (; i < digits.len && (digits.bytes[i] | 0x20) != 'e'; i++) {
        if (digits.bytes[i] == '.') {
            is_behind_point = true;
        } else {
            text[n++] = (char)digits.bytes[i];
            fraction += is_behind_point;
        }
    }
    for (i++; i < digits.len; i++) {
        if (digits.bytes[i] == '-')
            is_negative = true;
        else if (digits.bytes[i] != '+' && exponent < 1000000) /* beyond every float */
            exponent = exponent * 10 + (digits.bytes[i] - '0');
    }
    snprintf(text + n, 32, "e%ld", (is_negative ? -exponent : exponent) - fraction);
    return 0;
}

int candid_float_parse(struct ic_view digits, bool is_negative, struct ic_value *out)
{
    char text[FLOAT_TEXT_MAX + 32];
    int ret = without_point(digits, text);
    if (ret < 0)
        return ret;
    if (out->type->kind == IC_TYPE_FLOAT32) {
        float f = strtof(text, NULL);
        if (isinf(f))
            return -ERANGE;
        f = is_negative ? -f : f;
        memcpy(&out->as.float32, &f, sizeof(f));
    } else {
        double d = strtod(text, NULL);
        if (isinf(d))
            return -ERANGE;
        d = is_negative ? -d : d;
        memcpy(&out->as.float64, &d, sizeof(d));
    }
    return 0;
}

/* ---- floats into text ---- */

/* A finite float that is not negative. */
struct magnitude {
    double value;
    bool is_single;
    bool is_subnormal;
};

/* Decimal digits d1 d2 ... dn of d1.d2...dn * 10^exponent. */
struct decimal {
    char digits[20];
    int n;
    int exponent;
};

static bool is_exact(const struct decimal *d, const struct magnitude *m)
{
    char text[48];
    snprintf(text, sizeof(text), "%se%d", d->digits, d->exponent - (d->n - 1));
    return m->is_single ? strtof(text, NULL) == (float)m->value : strtod(text, NULL) == m->value;
}

/* The next larger number of as many digits. */
static void round_up(struct decimal *d)
{
    int i = d->n - 1;
    while (i >= 0 && d->digits[i] == '9')
        d->digits[i--] = '0';
    if (i >= 0) {
        d->digits[i]++;
    } else {
        d->digits[0] = '1';
        d->exponent++;
    }
}

/* The n digits that are nearest; of two that are equally near the larger, as didc has it. */
static void round_to(const struct magnitude *m, int n, struct decimal *out)
{
    enum { MORE = 30 }; /* digits enough to tell what is halfway */
    char text[64];
    const char *c = text;
    bool is_up = false;
    int k = 0;

    snprintf(text, sizeof(text), "%.*e", n - 1 + MORE, m->value);
    for (; *c != 'e'; c++) {
        if (*c < '0' || *c > '9')
            continue; /* the locale's point */
        if (k < n)
            out->digits[k] = *c;
        else if (k == n)
            is_up = *c >= '5';
        k++;
    }
    out->digits[n] = '\0';
    out->n = n;
    out->exponent = (int)strtol(c + 1, NULL, 10);
    if (is_up)
        round_up(out);
}

/* The fewest digits that are read back as the same float, and of those the nearest.
 *
 * Of a normal float every decimal of DBL_DIG digits survives the way through it: where so few are
 * enough, rounding to DBL_DIG gives them, and zeros. Of more digits the nearest are the ones, but
 * at a power of two, which has more room above than below: there the next may be the one. */
static void shortest(const struct magnitude *m, struct decimal *out)
{
    int n = m->is_subnormal ? 1 : m->is_single ? FLT_DIG : DBL_DIG;
    int most = m->is_single ? FLT_DECIMAL_DIG : DBL_DECIMAL_DIG;

    for (;; n++) {
        round_to(m, n, out);
        if (n == most || is_exact(out, m))
            break;
        round_up(out);
        if (is_exact(out, m))
            break;
    }
    while (out->n > 1 && out->digits[out->n - 1] == '0')
        out->n--;
}

/* 1234.5, 0.00012345, 12345000.0: never an exponent. */
static size_t lay_out(const struct decimal *d, char *out)
{
    size_t n = 0;
    int point = d->exponent + 1; /* digits before the point */

    if (point <= 0) {
        out[n++] = '0';
        out[n++] = '.';
        for (; point < 0; point++)
            out[n++] = '0';
        memcpy(out + n, d->digits, (size_t)d->n);
        return n + (size_t)d->n;
    }
    for (int i = 0; i < d->n || i < point; i++) {
        if (i == point)
            out[n++] = '.';
        out[n++] = (char)(i < d->n ? d->digits[i] : '0');
    }
    if (d->n <= point) {
        out[n++] = '.';
        out[n++] = '0';
    }
    return n;
}

static void float_digits(double value, bool is_single, struct candid_digits *out)
{
    struct magnitude m = {.value = fabs(value), .is_single = is_single};
    struct decimal d = {.digits = "0", .n = 1};

    out->is_negative = !isnan(value) && signbit(value);
    if (isnan(value) || isinf(value)) {
        out->len = 3;
        memcpy(out->small, isnan(value) ? "NaN" : "inf", 3);
    } else {
        m.is_subnormal = m.value < (is_single ? (double)FLT_MIN : DBL_MIN);
        if (m.value > 0)
            shortest(&m, &d);
        out->len = lay_out(&d, out->small);
    }
    out->small[out->len] = '\0';
}

/* ---- whole numbers into text ---- */

static void small_digits(uint64_t n, bool is_negative, struct candid_digits *out)
{
    out->is_negative = is_negative;
    out->len = (size_t)snprintf(out->small, sizeof(out->small), "%" PRIu64, n);
}

static void signed_digits(int64_t n, struct candid_digits *out)
{
    small_digits(n < 0 ? 0 - (uint64_t)n : (uint64_t)n, n < 0, out);
}

/* The magnitude of LEB128 or, where the sign bit is set, of SLEB128. */
static int bignum_from_leb(struct ic_view leb, bool is_negative, BIGNUM **out)
{
    uint8_t bytes[CANDID_LEB_MAX] = {0};

    for (size_t i = 0; i < leb.len; i++) {
        unsigned group = (leb.bytes[i] & 0x7f) ^ (is_negative ? 0x7f : 0);
        size_t at = 7 * i / 8, shift = 7 * i % 8;
        bytes[at] |= (uint8_t)(group << shift);
        if (shift > 1)
            bytes[at + 1] |= (uint8_t)(group >> (8 - shift));
    }
    *out = BN_lebin2bn(bytes, sizeof(bytes), NULL);
    return *out && (!is_negative || BN_add_word(*out, 1)) ? 0 : -ENOMEM;
}

static int large_digits(struct ic_view leb, bool is_negative, struct candid_digits *out)
{
    BIGNUM *n = NULL;
    int ret = bignum_from_leb(leb, is_negative, &n);
    if (ret == 0)
        out->large = BN_bn2dec(n);
    BN_free(n);
    if (!out->large)
        return -ENOMEM;
    out->is_negative = is_negative;
    out->digits = out->large;
    out->len = strlen(out->large);
    return 0;
}

static int leb_digits(const struct ic_value *v, struct candid_digits *out)
{
    struct ic_view leb = v->as.leb;
    bool is_signed = v->type->kind == IC_TYPE_INT;
    uint64_t nat;
    int64_t integer;

    if (leb.len == 0 || leb.len > CANDID_LEB_MAX)
        return -EINVAL;
    if (!is_signed && ic_value_nat64(v, &nat) == 0) {
        small_digits(nat, false, out);
        return 0;
    }
    if (is_signed && ic_value_int64(v, &integer) == 0) {
        signed_digits(integer, out);
        return 0;
    }
    return large_digits(leb, is_signed && (leb.bytes[leb.len - 1] & 0x40), out);
}

int candid_digits(const struct ic_value *v, struct candid_digits *out)
{
    float single;
    double value;

    out->large = NULL;
    out->digits = out->small;
    out->is_integer = true;
    switch ((int)v->type->kind) {
    case IC_TYPE_NAT:
    case IC_TYPE_INT:
        return leb_digits(v, out);
    case IC_TYPE_FLOAT32:
        memcpy(&single, &v->as.float32, sizeof(single));
        out->is_integer = false;
        float_digits((double)single, true, out);
        return 0;
    case IC_TYPE_FLOAT64:
        memcpy(&value, &v->as.float64, sizeof(value));
        out->is_integer = false;
        float_digits(value, false, out);
        return 0;
    default:
        if (is_signed_kind(v->type->kind))
            signed_digits(v->as.integer, out);
        else
            small_digits(v->as.nat, false, out);
        return 0;
    }
}

void candid_digits_fini(struct candid_digits *d)
{
    OPENSSL_free(d->large);
    d->large = NULL;
}
