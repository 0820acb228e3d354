#include "fs/argument.h"

#include <assert.h>

struct number_type {
    const struct ic_type *type;
    unsigned bits; /* of its largest number: 64 also for those without end */
};

/* NULL: it is no kind of number. */
static const struct number_type *type_of(enum ic_type_kind kind)
{
    static const struct number_type all[] = {
        {&ic_type_nat8, 8},   {&ic_type_nat16, 16}, {&ic_type_nat32, 32}, {&ic_type_nat64, 64},
        {&ic_type_nat, 64},   {&ic_type_int8, 7},   {&ic_type_int16, 15}, {&ic_type_int32, 31},
        {&ic_type_int64, 63}, {&ic_type_int, 64},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i].type->kind == kind)
            return &all[i];
    return NULL;
}

bool fs_argument_is_number(enum ic_type_kind kind)
{
    return type_of(kind) != NULL;
}

/* As LEB128, and as SLEB128 where the last group must not look like that of a negative number. */
static size_t encode(uint64_t number, bool is_signed, uint8_t leb[IC_LEB64_MAX])
{
    size_t len = ic_leb64_encode(number, leb);
    if (is_signed && leb[len - 1] & 0x40) {
        leb[len - 1] |= 0x80;
        leb[len++] = 0;
    }
    return len;
}

bool fs_arguments_add(struct fs_arguments *args, enum ic_type_kind kind, uint64_t number)
{
    assert(args->n < FS_ARGUMENTS_MAX);
    const struct number_type *is = type_of(kind);
    assert(is);
    if (is->bits < 64 && number >> is->bits != 0)
        return false;
    uint8_t *leb = args->leb[args->n];
    struct ic_value *value = &args->values[args->n++];
    *value = (struct ic_value){.type = is->type, .as.nat = number};
    if (kind == IC_TYPE_NAT || kind == IC_TYPE_INT)
        value->as.leb = ic_view(leb, encode(number, kind == IC_TYPE_INT, leb));
    else if (is->bits % 8 != 0)
        value->as.integer = (int64_t)number;
    return true;
}
