/* The primitive types, and the hash of names. */
#include "ic/candid.h"

#define PRIMITIVE(name, KIND) const struct ic_type ic_type_##name = {.kind = IC_TYPE_##KIND}

PRIMITIVE(null, NULL);
PRIMITIVE(bool, BOOL);
PRIMITIVE(nat, NAT);
PRIMITIVE(int, INT);
PRIMITIVE(nat8, NAT8);
PRIMITIVE(nat16, NAT16);
PRIMITIVE(nat32, NAT32);
PRIMITIVE(nat64, NAT64);
PRIMITIVE(int8, INT8);
PRIMITIVE(int16, INT16);
PRIMITIVE(int32, INT32);
PRIMITIVE(int64, INT64);
PRIMITIVE(float32, FLOAT32);
PRIMITIVE(float64, FLOAT64);
PRIMITIVE(text, TEXT);
PRIMITIVE(reserved, RESERVED);
PRIMITIVE(empty, EMPTY);
PRIMITIVE(principal, PRINCIPAL);

const struct ic_type ic_type_blob = {.kind = IC_TYPE_VEC, .as.elem = &ic_type_nat8};

uint32_t ic_candid_hash(const char *name, size_t len)
{
    uint32_t hash = 0;
    for (size_t i = 0; i < len; i++)
        hash = hash * 223 + (unsigned char)name[i];
    return hash;
}
