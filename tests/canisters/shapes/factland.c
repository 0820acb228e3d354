/* Factland's shape: stable memory in bytes, and the users' profiles as a collection without a
 * total. Profiles that are given back are those of their users, or of new ones, which come last;
 * fill forgets them.
 *
 * Its guards reject whom the canister has not authorised; here these are the controllers.
 */
#include "../values.h"
#include "list.h"
#include "shape.h"

#define PROFILES 1500
#define USER     "principal-"
#define USER_LEN (sizeof(USER) - 1)

/* Those given back, by number: as they are in a reply, the user's text first. */
static struct list given;

void shape_fill(void)
{
    given.n = 0;
    shape_fill_pages();
}

IC_QUERY(stable_size)
{
    if (!shape_rejected())
        shape_reply_nat64(shape_memory_size());
}

IC_QUERY(stable_read)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);
    uint64_t len = candid_nat64(&args);

    shape_reply_memory(off, len);
}

IC_UPDATE(stable_write)
{
    if (shape_refused())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);

    shape_write_blob(off, candid_blob(&args));
    shape_reply_nothing();
}

/* Profile's fields in the order of their hashes: username, password, email, updated_time_msecs. */
static void put_profile(uint64_t i)
{
    const struct list_item *item = list_get(&given, i);

    if (item != NULL) {
        candid_put(item->bytes, item->len);
        return;
    }
    SHAPE_PUT_NAME(USER, i);
    CANDID_PUT("\x01");
    SHAPE_PUT_NAME("user-", i);
    CANDID_PUT("\x00");
    if (i % 3 == 0) {
        CANDID_PUT("\x00");
    } else {
        CANDID_PUT("\x01");
        SHAPE_PUT_NAME("mail@", i);
    }
    CANDID_PUT("\x01");
    candid_put_nat64(1600000000000 + i);
}

/* Whoever was never there before comes after all others. */
static uint64_t count_profiles(void)
{
    return given.n == 0 || given.items[given.n - 1].id < PROFILES ? PROFILES
                                                                  : given.items[given.n - 1].id + 1;
}

/* (offset, count): beyond the last profile there are simply none. */
IC_QUERY(backup)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t first = shape_smaller(candid_nat32(&args), count_profiles());
    uint64_t n = shape_smaller(candid_nat32(&args), count_profiles() - first);

    /* Table: 0 vec 1, 1 record { text; 2 }, 2 Profile, 3 opt text, 4 opt nat64. */
    CANDID_PUT("DIDL\x05\x6d\x01\x6c\x02\x00\x71\x01\x02"
               "\x6c\x04\x96\x8c\xae\x87\x02\x03\x9b\xc6\xc0\xc6\x04\x03"
               "\x9c\x9e\xbb\xfe\x06\x03\x81\xd1\x95\xab\x0a\x04"
               "\x6e\x71\x6e\x78\x01\x00");
    candid_put_length(n);
    for (uint64_t i = first; i < first + n; i++)
        put_profile(i);
    ic0_msg_reply();
}

/* --- restoring --- */

#define HASH_USERNAME 552306198
#define HASH_PASSWORD 1221600027
#define HASH_EMAIL    1875824412
#define HASH_UPDATED  2774886529

struct profile {
    struct candid_blob user;
    struct candid_blob texts[3]; /* username, password, email; of no place: null */
    bool is_dated;
    uint64_t updated;
};

static struct values values;

static void read_opt_text(int32_t type, struct candid_blob *text)
{
    int32_t inner;

    if (values_opt(&values, type, &inner))
        *text = values_text(&values, inner);
}

static struct profile read_profile(int32_t type)
{
    struct value_fields entry = values_record(&values, type);
    struct profile profile = {0};

    if (entry.n < 2 || entry.at[0].hash != 0 || entry.at[1].hash != 1)
        IC_TRAP("argument: no user and profile");
    profile.user = values_text(&values, entry.at[0].type);

    struct value_fields fields = values_record(&values, entry.at[1].type);

    for (size_t i = 0; i < fields.n; i++) {
        int32_t inner;

        switch (fields.at[i].hash) {
        case HASH_USERNAME:
            read_opt_text(fields.at[i].type, &profile.texts[0]);
            break;
        case HASH_PASSWORD:
            read_opt_text(fields.at[i].type, &profile.texts[1]);
            break;
        case HASH_EMAIL:
            read_opt_text(fields.at[i].type, &profile.texts[2]);
            break;
        case HASH_UPDATED:
            profile.is_dated = values_opt(&values, fields.at[i].type, &inner);
            if (profile.is_dated)
                profile.updated = values_nat64(&values, inner);
            break;
        default:
            values_skip(&values, fields.at[i].type);
        }
    }
    for (size_t i = 2; i < entry.n; i++)
        values_skip(&values, entry.at[i].type);
    return profile;
}

/* As put_profile does; the first *user_len bytes are the user's text and its length. */
static struct list_item encode_profile(const struct profile *profile, size_t *user_len)
{
    size_t most = LIST_LENGTH_MAX + profile->user.len + 1 + sizeof(profile->updated);

    for (size_t i = 0; i < 3; i++)
        most += 1 + LIST_LENGTH_MAX + profile->texts[i].len;

    struct list_item item = list_begin(0, most);

    list_add_text(&item, profile->user);
    *user_len = item.len;
    for (size_t i = 0; i < 3; i++) {
        bool is_there = profile->texts[i].off > 0;

        list_add(&item, is_there ? "\x01" : "\x00", 1);
        if (is_there)
            list_add_text(&item, profile->texts[i]);
    }
    list_add(&item, profile->is_dated ? "\x01" : "\x00", 1);
    if (profile->is_dated)
        list_add(&item, &profile->updated, sizeof(profile->updated));
    return item;
}

static bool is_same(const uint8_t *a, const uint8_t *b, size_t len)
{
    size_t i = 0;

    while (i < len && a[i] == b[i])
        i++;
    return i == len;
}

/* The number in a text as put_profile makes it; PROFILES for any other. */
static uint64_t number_of(const uint8_t *user, size_t len)
{
    uint64_t n = 0;

    if (len <= USER_LEN || len > USER_LEN + 4 || !is_same(user, (const uint8_t *)USER, USER_LEN) ||
        (user[USER_LEN] == '0' && len > USER_LEN + 1))
        return PROFILES;
    for (size_t i = USER_LEN; i < len; i++) {
        if (user[i] < '0' || user[i] > '9')
            return PROFILES;
        n = 10 * n + (uint64_t)(user[i] - '0');
    }
    return shape_smaller(n, PROFILES);
}

/* The number of who was given before, or a new one. The length before the text makes sure that none
 * is the beginning of another. */
static uint64_t find_user(const struct list_item *item, size_t user_len)
{
    for (size_t at = list_find(&given, PROFILES); at < given.n; at++)
        if (given.items[at].len >= user_len &&
            is_same(given.items[at].bytes, item->bytes, user_len))
            return given.items[at].id;
    return count_profiles();
}

IC_UPDATE(restore)
{
    int32_t type;

    if (shape_refused())
        return;
    int32_t vec = values_open(&values);

    for (uint64_t n = values_vec(&values, vec, &type); n > 0; n--) {
        struct profile profile = read_profile(type);
        size_t user_len;
        struct list_item item = encode_profile(&profile, &user_len);

        item.id = number_of(item.bytes + user_len - profile.user.len, profile.user.len);
        if (item.id == PROFILES)
            item.id = find_user(&item, user_len);
        list_put(&given, item);
    }
    shape_reply_nothing();
}
