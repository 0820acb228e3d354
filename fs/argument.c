#include "fs/argument.h"

#include <assert.h>

/* The type of a kind of number, and its bits: 64 also for those without end. */
static const struct ic_type *type_of(enum ic_type_kind kind, unsigned *ret_bits)
{
    static const struct {
        const struct ic_type *type;
        unsigned bits;
    } all[] = {
        {&ic_type_nat8, 8},   {&ic_type_nat16, 16}, {&ic_type_nat32, 32},
        {&ic_type_nat64, 64}, {&ic_type_nat, 64},
    };
    size_t i = 0;
    while (all[i].type->kind != kind && all[i].type != &ic_type_nat)
        i++;
    *ret_bits = all[i].bits;
    return all[i].type;
}

bool fs_arguments_add(struct fs_arguments *args, enum ic_type_kind kind, uint64_t number)
{
    assert(args->n < FS_ARGUMENTS_MAX);
    unsigned bits;
    const struct ic_type *type = type_of(kind, &bits);
    if (bits < 64 && number >> bits != 0)
        return false;
    uint8_t *leb = args->leb[args->n];
    struct ic_value *value = &args->values[args->n++];
    *value = (struct ic_value){.type = type, .as.nat = number};
    if (type == &ic_type_nat)
        value->as.leb = ic_view(leb, ic_leb64_encode(number, leb));
    return true;
}
