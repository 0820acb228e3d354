/* Test vectors: files of tests/data/vectors, JSON and hexadecimal. Anything wrong with a vector
 * file itself ends the program: there is nothing to test then. */
#ifndef CANISTERFS_TESTS_IC_VECTORS_H
#define CANISTERFS_TESTS_IC_VECTORS_H

#include "ic/buf.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VECTOR_PATH 512

static inline void vector_die(const char *what, const char *name)
{
    printf("Bail out! %s: %s\n", what, name);
    exit(1);
}

static inline void vector_path(const char *data_dir, const char *name, char path[VECTOR_PATH])
{
    if (snprintf(path, VECTOR_PATH, "%s/vectors/%s", data_dir, name) >= VECTOR_PATH)
        vector_die("path too long", name);
}

/* A whole file; the caller finis the buffer. */
static inline struct ic_buf vector_load(const char *path)
{
    uint8_t block[4096];
    struct ic_buf buf = {0};
    size_t n;
    FILE *f;

    f = fopen(path, "rb");
    if (!f)
        vector_die("cannot open", path);
    while ((n = fread(block, 1, sizeof(block), f)) > 0)
        ic_buf_append(&buf, block, n);
    if (ferror(f) || ic_buf_status(&buf) < 0)
        vector_die("cannot read", path);
    fclose(f);
    return buf;
}

static inline struct ic_buf vector_file(const char *data_dir, const char *name)
{
    char path[VECTOR_PATH];
    vector_path(data_dir, name, path);
    return vector_load(path);
}

/* The caller decrefs. */
static inline json_t *vector_load_json(const char *path)
{
    json_error_t error;
    json_t *json;

    json = json_load_file(path, 0, &error);
    if (!json)
        vector_die(error.text, path);
    return json;
}

static inline json_t *vector_json(const char *data_dir, const char *name)
{
    char path[VECTOR_PATH];
    vector_path(data_dir, name, path);
    return vector_load_json(path);
}

static inline int vector_nibble(char c)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)((at - digits) % 16) : -1;
}

/* Bytes of a hexadecimal string; the caller finis the buffer. */
static inline struct ic_buf vector_unhex(const char *hex)
{
    struct ic_buf buf = {0};
    if (!hex || strlen(hex) % 2)
        vector_die("not hexadecimal", hex ? hex : "(null)");
    ic_buf_reserve(&buf, strlen(hex) / 2 + 1);
    for (; *hex; hex += 2) {
        int high = vector_nibble(hex[0]), low = vector_nibble(hex[1]);
        uint8_t byte = (uint8_t)(high << 4 | low);
        if (high < 0 || low < 0)
            vector_die("not hexadecimal", hex);
        ic_buf_append(&buf, &byte, 1);
    }
    return buf;
}

static inline const char *vector_text(json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

#endif
