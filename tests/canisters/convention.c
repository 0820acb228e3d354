/* See convention.h. Layout: Candid specification, "Type definition table"; fields and tags go by
 * their names' hashes, and come in the order of these.
 */
#include "convention.h"

#include "candid.h"
#include "ic0.h"
#include "live.h"

/* 0 Version { mtime_ns; size; version }
 * 1 Err { other; busy; corrupt; denied; stale : 0; range }
 * 2 variant { ok; err : 1 }
 * 3 record { session; chunk_max; expires_ns }
 * 4 variant { ok : 3; err : 1 }
 * 5 record { total; done }
 * 6 variant { ok; err : 1; more : 5 }
 * 7 record { 0; 1 }, a range
 * 8 vec 7
 * 9 variant { aborted; open; committed }
 * 10 record { size; state : 9; received : 8 }
 * 11 opt 10
 * 12 record { lease; version }
 * 13 variant { ok : 12; err : 1 }
 * 14 record { lease_expires_ns; in_flight; paused : bool } */
#define TYPES                                                                                      \
    "\x0f"                                                                                         \
    "\x6c\x03\xaa\x8f\x96\x9b\x03\x78\xc1\xc1\xce\xe2\x04\x78\x98\xce\xc7\xe7\x07\x78"             \
    "\x6b\x06\xd0\xcd\xd9\xb3\x03\x71\xb9\xaa\x80\x89\x04\x71\xcd\xaf\xae\xae\x06\x71"             \
    "\xdb\xd2\xb8\xe1\x06\x7f\x99\xde\xad\xa0\x08\x00\xbd\xcb\xfe\xa0\x0e\x7f"                     \
    "\x6b\x02\x9c\xc2\x01\x7f\xe5\x8e\xb4\x02\x01"                                                 \
    "\x6c\x03\xd6\xae\xe0\x9c\x09\x78\x92\xa1\xa5\xbb\x0a\x78\xb0\xbe\xf7\xda\x0d\x78"             \
    "\x6b\x02\x9c\xc2\x01\x03\xe5\x8e\xb4\x02\x01"                                                 \
    "\x6c\x02\xc4\xa7\xc9\xa1\x01\x78\x82\xe1\xb7\x93\x04\x78"                                     \
    "\x6b\x03\x9c\xc2\x01\x7f\xe5\x8e\xb4\x02\x01\x95\xbf\x83\xc3\x04\x05"                         \
    "\x6c\x02\x00\x78\x01\x78"                                                                     \
    "\x6d\x07"                                                                                     \
    "\x6b\x03\x8f\xe0\xa1\xae\x02\x7f\xca\x87\xd0\xcd\x04\x7f\xbc\x84\xf4\xde\x06\x7f"             \
    "\x6c\x03\xc1\xc1\xce\xe2\x04\x78\x91\xec\xad\xa0\x08\x09\xa1\x8a\xf5\x97\x0e\x08"             \
    "\x6e\x0a"                                                                                     \
    "\x6c\x02\xda\xe4\xcc\x92\x07\x78\x98\xce\xc7\xe7\x07\x78"                                     \
    "\x6b\x02\x9c\xc2\x01\x0c\xe5\x8e\xb4\x02\x01"                                                 \
    "\x6c\x03\xb5\x88\xa9\xb9\x08\x78\x8a\x96\xae\xa4\x0c\x78\xae\x81\x91\xfc\x0e\x7e"

void words_put_utf8(struct words *words, const uint8_t *text, size_t len)
{
    size_t room = sizeof(words->bytes) - words->len;

    if (len > room)
        for (len = room; len > 0 && (text[len] & 0xc0) == 0x80; len--)
            ;
    __builtin_memcpy(words->bytes + words->len, text, len);
    words->len += len;
}

void words_put(struct words *words, const char *text)
{
    size_t len = 0;

    while (text[len] != '\0')
        len++;
    words_put_utf8(words, (const uint8_t *)text, len);
}

void words_put_number(struct words *words, uint64_t n)
{
    char digits[21];
    size_t at = sizeof(digits) - 1;

    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    words_put(words, digits + at);
}

static void put_tag(uint8_t tag)
{
    candid_put(&tag, 1);
}

void reply_open(enum reply_type type)
{
    CANDID_PUT("DIDL" TYPES "\x01");
    put_tag((uint8_t)type);
}

void reply_ok(enum reply_type type)
{
    reply_open(type);
    put_tag(0);
}

static void open_err(enum reply_type type, enum reply_err err)
{
    reply_open(type);
    put_tag(1);
    put_tag((uint8_t)err);
}

void reply_err(enum reply_type type, enum reply_err err)
{
    open_err(type, err);
    if (err == ERR_STALE) {
        candid_put_nat64(live_mtime_ns());
        candid_put_nat64(live_size());
        candid_put_nat64(live_version());
    }
    ic0_msg_reply();
}

void reply_words(enum reply_type type, enum reply_err err, const struct words *words)
{
    open_err(type, err);
    candid_put_length(words->len);
    candid_put(words->bytes, words->len);
    ic0_msg_reply();
}

void reply_text(enum reply_type type, enum reply_err err, const char *text)
{
    struct words words = {.len = 0};

    words_put(&words, text);
    reply_words(type, err, &words);
}

bool reply_denied(enum reply_type type)
{
    if (ic_caller_is_controller())
        return false;
    reply_err(type, ERR_DENIED);
    return true;
}
