/* An application whose state, a list of posts, lives on the heap, and that is backed up as people
 * did before canisters had snapshots: the pre-upgrade hook writes the state to stable memory, the
 * post-upgrade hook reads it back, and stable memory can be read and written with methods of its
 * own, by controllers alone, since it holds everybody's posts.
 *
 *   backup    upgrade (to the same code), then read stable memory
 *   restore   grow and write stable memory, then upgrade with skip_pre_upgrade
 *
 * Stable memory begins with the length of what follows, 8 bytes, little endian; then MessagePack:
 * an array of maps { "author" : bin, "time_ns" : uint, "text" : str }, in this order. Bytes behind
 * it have no meaning. An upgrade that finds something else traps, so it changes nothing.
 */
#include "candid.h"
#include "heap.h"
#include "ic0.h"

IC_CANDID_SERVICE("distrikt.did");

#define PAGE       65536
#define BUFFER     PAGE
#define LENGTH_LEN 8 /* the length at the beginning of stable memory */
#define N_FIELDS   3

struct post {
    struct post *next;
    uint64_t time_ns;
    uint32_t author_len;
    uint32_t text_len;
    uint8_t bytes[]; /* author, text */
};

static struct post *first;
static struct post *last;
static uint64_t n_posts;

static _Alignas(8) uint8_t buffer[BUFFER];
static struct candid_args args;

/* --- the heap: posts are never freed --- */

/* A post with room for author and text, at the end of the list. */
static struct post *add_post(uint64_t time_ns, uint32_t author_len, uint32_t text_len)
{
    struct post *post = heap_allocate(sizeof(*post) + author_len + text_len);

    *post = (struct post){.time_ns = time_ns, .author_len = author_len, .text_len = text_len};
    if (last == NULL)
        first = post;
    else
        last->next = post;
    last = post;
    n_posts++;
    return post;
}

/* --- MessagePack (MessagePack specification, "Formats") --- */

enum {
    FIXMAP = 0x80,
    FIXARRAY = 0x90,
    FIXSTR = 0xa0,
    BIN8 = 0xc4,
    BIN32 = 0xc6,
    UINT8 = 0xcc,
    UINT64 = 0xcf,
    STR8 = 0xd9,
    STR32 = 0xdb,
    ARRAY16 = 0xdc,
    ARRAY32 = 0xdd,
};

/* Where serialised bytes go: nowhere, when only their number is wanted, or to stable memory. */
struct writer {
    uint64_t off;
    bool counts_only;
};

static void write_bytes(struct writer *writer, const void *bytes, size_t len)
{
    if (!writer->counts_only)
        ic_stable_write(writer->off, bytes, len);
    writer->off += len;
}

/* A code and a big endian number of 1 << log_len bytes. */
static void write_head(struct writer *writer, uint8_t code, uint64_t n, unsigned log_len)
{
    uint8_t bytes[9] = {code};
    unsigned len = 1U << log_len;

    for (unsigned i = 0; i < len; i++)
        bytes[1 + i] = (uint8_t)(n >> (8 * (len - 1 - i)));
    write_bytes(writer, bytes, 1 + len);
}

/* Keys are shorter than 32 bytes. */
static void write_key(struct writer *writer, const char *key, size_t len)
{
    uint8_t code = (uint8_t)(FIXSTR + len);

    write_bytes(writer, &code, 1);
    write_bytes(writer, key, len);
}

#define WRITE_KEY(writer, literal) write_key(writer, "" literal, sizeof(literal) - 1)

static void write_state(struct writer *writer)
{
    write_head(writer, ARRAY32, n_posts, 2);
    for (const struct post *post = first; post != NULL; post = post->next) {
        uint8_t map = FIXMAP + N_FIELDS;

        write_bytes(writer, &map, 1);
        WRITE_KEY(writer, "author");
        write_head(writer, BIN8, post->author_len, 0);
        write_bytes(writer, post->bytes, post->author_len);
        WRITE_KEY(writer, "time_ns");
        write_head(writer, UINT64, post->time_ns, 3);
        WRITE_KEY(writer, "text");
        write_head(writer, STR32, post->text_len, 2);
        write_bytes(writer, post->bytes + post->author_len, post->text_len);
    }
}

/* The serialised bytes still to read, through the buffer. */
static struct {
    uint64_t off; /* in stable memory, behind the buffer */
    uint64_t left;
    size_t at;
    size_t len;
} in;

_Noreturn static void malformed(void)
{
    IC_TRAP("stable memory holds no posts of this format");
}

static void read_bytes(void *to, size_t len)
{
    uint8_t *bytes = to;

    while (len > 0) {
        if (in.at == in.len) {
            if (in.left == 0)
                malformed();
            in.len = in.left < BUFFER ? (size_t)in.left : BUFFER;
            ic_stable_read(buffer, in.off, in.len);
            in.off += in.len;
            in.left -= in.len;
            in.at = 0;
        }

        size_t part = len < in.len - in.at ? len : in.len - in.at;

        __builtin_memcpy(bytes, buffer + in.at, part);
        in.at += part;
        bytes += part;
        len -= part;
    }
}

static uint8_t read_byte(void)
{
    uint8_t byte;

    read_bytes(&byte, 1);
    return byte;
}

static uint64_t read_number(unsigned log_len)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < 1U << log_len; i++)
        n = n << 8 | read_byte();
    return n;
}

/* The number in a head: any of the codes for its kind, of which the smaller come first. */
static uint64_t read_head(uint8_t code, uint8_t least, unsigned least_log, uint8_t most)
{
    if (code < least || code > most)
        malformed();
    return read_number(least_log + code - least);
}

static uint64_t read_array(void)
{
    uint8_t code = read_byte();

    if ((code & 0xf0) == FIXARRAY)
        return code & 0x0f;
    return read_head(code, ARRAY16, 1, ARRAY32);
}

static uint64_t read_uint(void)
{
    uint8_t code = read_byte();

    return code < 0x80 ? code : read_head(code, UINT8, 0, UINT64);
}

/* A length that what is left can hold. */
static uint32_t checked(uint64_t len)
{
    if (len > in.left + (in.len - in.at))
        malformed();
    return (uint32_t)len;
}

static uint32_t read_str(void)
{
    uint8_t code = read_byte();

    if ((code & 0xe0) == FIXSTR)
        return checked(code & 0x1f);
    return checked(read_head(code, STR8, 0, STR32));
}

static void read_key(const char *key, size_t len)
{
    if (read_str() != len)
        malformed();
    for (size_t i = 0; i < len; i++)
        if (read_byte() != (uint8_t)key[i])
            malformed();
}

#define READ_KEY(literal) read_key("" literal, sizeof(literal) - 1)

static void read_post(void)
{
    uint8_t author[IC_PRINCIPAL_MAX];

    if (read_byte() != FIXMAP + N_FIELDS)
        malformed();
    READ_KEY("author");
    uint32_t author_len = checked(read_head(read_byte(), BIN8, 0, BIN32));

    if (author_len > sizeof(author))
        malformed();
    read_bytes(author, author_len);
    READ_KEY("time_ns");
    uint64_t time_ns = read_uint();

    READ_KEY("text");
    uint32_t text_len = read_str();
    struct post *post = add_post(time_ns, author_len, text_len);

    __builtin_memcpy(post->bytes, author, author_len);
    read_bytes(post->bytes + author_len, text_len);
    if (!candid_is_utf8(post->bytes + author_len, text_len))
        malformed();
}

/* --- upgrades --- */

static uint64_t size_bytes(void)
{
    return ic0_stable64_size() * PAGE;
}

IC_PRE_UPGRADE(pre_upgrade)
{
    struct writer counter = {.counts_only = true};

    write_state(&counter);

    uint64_t len = counter.off;
    uint64_t pages = (LENGTH_LEN + len + PAGE - 1) / PAGE;
    uint64_t have = ic0_stable64_size();

    if (pages > have && ic0_stable64_grow(pages - have) < 0)
        IC_TRAP("stable memory cannot hold the posts");
    ic_stable_write(0, &len, LENGTH_LEN);

    struct writer writer = {.off = LENGTH_LEN};

    write_state(&writer);
}

IC_POST_UPGRADE(post_upgrade)
{
    uint64_t len;

    if (ic0_stable64_size() == 0)
        return; /* the code before this one never wrote */
    ic_stable_read(&len, 0, LENGTH_LEN);
    if (len > size_bytes() - LENGTH_LEN)
        malformed();
    in.off = LENGTH_LEN;
    in.left = len;
    for (uint64_t n = read_array(); n > 0; n--)
        read_post();
    if (in.left > 0 || in.at < in.len)
        malformed();
}

/* --- the application --- */

#define HEADER_NAT64 "DIDL\x00\x01\x78"
/* Table: 0 record { text : text; author : principal; time_ns : nat64 }, by hash; 1 opt 0. */
#define HEADER_POST                                                                                \
    "DIDL\x02\x6c\x03\xad\x99\xe7\xe7\x04\x71\x8b\xd5\xef\x9b\x07\x68\xf7\xe0\xab\xc7\x0d\x78\x6e" \
    "\x00\x01\x01"

IC_UPDATE(post)
{
    uint8_t author[IC_PRINCIPAL_MAX];
    size_t author_len = ic0_msg_caller_size();

    ic0_msg_caller_copy(author, 0, author_len);
    candid_open(&args);
    struct candid_text text = candid_text(&args);
    struct post *post = add_post(ic0_time(), (uint32_t)author_len, (uint32_t)text.len);

    __builtin_memcpy(post->bytes, author, author_len);
    __builtin_memcpy(post->bytes + author_len, text.bytes, text.len);
    CANDID_PUT(HEADER_NAT64);
    candid_put_nat64(n_posts - 1);
    ic0_msg_reply();
}

IC_QUERY(post_count)
{
    CANDID_PUT(HEADER_NAT64);
    candid_put_nat64(n_posts);
    ic0_msg_reply();
}

IC_QUERY(get_post)
{
    candid_open(&args);
    uint64_t number = candid_nat64(&args);
    const struct post *post = first;

    for (; post != NULL && number > 0; number--)
        post = post->next;
    CANDID_PUT(HEADER_POST);
    if (post == NULL) {
        CANDID_PUT("\x00");
    } else {
        CANDID_PUT("\x01");
        candid_put_length(post->text_len);
        candid_put(post->bytes + post->author_len, post->text_len);
        CANDID_PUT("\x01"); /* a principal that is not hidden */
        candid_put_length(post->author_len);
        candid_put(post->bytes, post->author_len);
        candid_put_nat64(post->time_ns);
    }
    ic0_msg_reply();
}

/* --- stable memory, for controllers --- */

static bool refused(void)
{
    if (ic_caller_is_controller())
        return false;
    IC_REJECT("denied: only a controller of this canister reads and writes its stable memory");
    return true;
}

IC_QUERY(stable64_size)
{
    if (refused())
        return;
    CANDID_PUT(HEADER_NAT64);
    candid_put_nat64(ic0_stable64_size());
    ic0_msg_reply();
}

IC_QUERY(stable64_read)
{
    if (refused())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);
    uint64_t len = candid_nat64(&args);

    if (off > size_bytes() || len > size_bytes() - off)
        IC_TRAP("stable64_read: the range is not within the size");
    CANDID_PUT("DIDL\x01\x6d\x7b\x01\x00");
    candid_put_length(len);
    while (len > 0) {
        size_t part = len < BUFFER ? (size_t)len : BUFFER;

        ic_stable_read(buffer, off, part);
        candid_put(buffer, part);
        off += part;
        len -= part;
    }
    ic0_msg_reply();
}

IC_UPDATE(stable64_grow)
{
    if (refused())
        return;
    candid_open(&args);
    int64_t before = ic0_stable64_grow(candid_nat64(&args));

    CANDID_PUT("DIDL\x00\x01\x74");
    candid_put_nat64((uint64_t)before);
    ic0_msg_reply();
}

IC_UPDATE(stable64_write)
{
    if (refused())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);
    struct candid_blob blob = candid_blob(&args);

    for (size_t done = 0; done < blob.len;) {
        size_t part = blob.len - done < BUFFER ? blob.len - done : BUFFER;

        ic0_msg_arg_data_copy(buffer, blob.off + done, part);
        ic_stable_write(off + done, buffer, part);
        done += part;
    }
    CANDID_PUT("DIDL\x00\x00");
    ic0_msg_reply();
}
