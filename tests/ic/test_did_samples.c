/* Descriptions with known results: did_samples DIR, where DIR is laid out as tests/data/did (its
 * README tells the forms). Prints each failure, and last "N passed, N failed".
 */
#include "ic/candid_relation.h"
#include "ic/did.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_MAX_LEN 1024

static int n_passed, n_failed;

static bool check(bool ok, const char *path, const char *what, const char *detail)
{
    if (ok) {
        n_passed++;
    } else {
        n_failed++;
        printf("FAIL %s: %s%s%s\n", path, what, *detail ? ": " : "", detail);
    }
    return ok;
}

static void join(char path[PATH_MAX_LEN], const char *dir, const char *name, const char *suffix)
{
    if (snprintf(path, PATH_MAX_LEN, "%s/%s%s", dir, name, suffix) >= PATH_MAX_LEN)
        exit(2);
}

/* A whole file with a NUL behind it; must be there. */
static struct ic_buf read_file(const char *path)
{
    struct ic_buf buf = {0};
    char block[4096];
    size_t n;
    FILE *f = fopen(path, "rb");
    if (!f) {
        printf("FAIL cannot open %s\n", path);
        exit(2);
    }
    while ((n = fread(block, 1, sizeof(block), f)) > 0)
        ic_buf_append(&buf, block, n);
    fclose(f);
    ic_buf_append(&buf, "", 1);
    if (ic_buf_status(&buf) < 0)
        exit(2);
    return buf;
}

/* ---- every description that parses ---- */

/* What is printed parses again, to equal types and the same text. */
static void check_round_trip(const struct ic_did *did, const char *path)
{
    struct ic_buf first = {0}, second = {0};
    struct ic_did *again = NULL;
    struct ic_error err = {0};
    bool equal = false;

    ic_did_format(did, &first);
    if (check(ic_did_parse((const char *)first.bytes, first.len, NULL, &again, &err) == 0, path,
              "what is printed parses again", err.message)) {
        ic_did_format(again, &second);
        check(ic_view_equal(ic_view(first.bytes, first.len), ic_view(second.bytes, second.len)),
              path, "and prints the same", "");
        for (size_t i = 0; i < did->n_types; i++)
            check(ic_type_relates(did->types[i], again->types[i], IC_TYPE_EQUAL, &equal, NULL) ==
                          0 &&
                      equal,
                  path, "equal types", (const char *)did->types[i]->names->self.name.bytes);
    }
    ic_did_free(again);
    ic_buf_fini(&first);
    ic_buf_fini(&second);
}

static bool list_is(const struct ic_type *const *types, size_t n, const char *expected)
{
    struct ic_buf buf = {0};
    bool same;
    ic_type_format_list(types, n, &buf);
    same = ic_view_is_text(ic_view(buf.bytes, buf.len), expected);
    if (!same)
        printf("# got %.*s\n# not %s\n", (int)buf.len, (const char *)buf.bytes, expected);
    ic_buf_fini(&buf);
    return same;
}

/* ---- samples: NAME.did, expected/NAME.json, expected/NAME.methods.tsv ---- */

static void check_facts(const struct ic_did *did, const char *path)
{
    json_t *facts = json_load_file(path, 0, NULL), *imports = json_object_get(facts, "imports");
    const char *init = json_string_value(json_object_get(facts, "init"));

    if (!check(facts && init, path, "readable", ""))
        return;
    check((json_int_t)did->n_types == json_integer_value(json_object_get(facts, "types")), path,
          "types", "");
    check(did->service && (json_int_t)did->service->as.service.n ==
                              json_integer_value(json_object_get(facts, "methods")),
          path, "methods", "");
    if (strcmp(init, "-") == 0)
        check(!did->init, path, "no init arguments", "");
    else
        check(did->init && list_is(did->init->as.func.args, did->init->as.func.n_args, init), path,
              "init arguments", init);
    check(did->n_imports == json_array_size(imports), path, "imports", "");
    for (size_t i = 0; i < did->n_imports && i < json_array_size(imports); i++) {
        json_t *import = json_array_get(imports, i);
        check(ic_view_is_text(did->imports[i].path, json_string_value(json_array_get(import, 0))) &&
                  did->imports[i].is_service == json_is_true(json_array_get(import, 1)),
              path, "import", "");
    }
    json_decref(facts);
}

/* name, mode, arguments, results. */
static void check_method(const struct ic_did *did, size_t i, char *line, const char *path)
{
    const struct ic_type_method *method;
    const struct ic_type *type;
    char *field[4] = {line};
    char quoted[512];
    json_t *name;

    for (int k = 1; k < 4; k++) {
        char *tab = strchr(field[k - 1], '\t');
        if (!check(tab != NULL, path, "four columns", line))
            return;
        *tab = '\0';
        field[k] = tab + 1;
    }
    snprintf(quoted, sizeof(quoted), "\"%s\"", field[0]);
    name = json_loads(quoted, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (check(name && i < did->service->as.service.n, path, "method", field[0])) {
        method = &did->service->as.service.methods[i];
        type = method->type;
        check(
            ic_view_equal(method->name, ic_view(json_string_value(name), json_string_length(name))),
            path, "name", field[0]);
        check(strcmp(ic_func_mode_name(type->as.func.mode), field[1]) == 0, path, "mode", field[0]);
        check(list_is(type->as.func.args, type->as.func.n_args, field[2]), path, "arguments",
              field[0]);
        check(list_is(type->as.func.results, type->as.func.n_results, field[3]), path, "results",
              field[0]);
    }
    json_decref(name);
}

static void check_methods(const struct ic_did *did, const char *path)
{
    struct ic_buf tsv = read_file(path);
    size_t i = 0;
    char *save = NULL;
    for (char *line = strtok_r((char *)tsv.bytes, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save))
        if (*line != '#')
            check_method(did, i++, line, path);
    check(i == did->service->as.service.n, path, "all methods", "");
    ic_buf_fini(&tsv);
}

static void check_sample(const char *dir, const char *name)
{
    char path[PATH_MAX_LEN], expected[PATH_MAX_LEN], base[PATH_MAX_LEN];
    struct ic_buf text;
    struct ic_did *did = NULL;
    struct ic_error err = {0};

    join(path, dir, name, "");
    text = read_file(path);
    if (check(ic_did_parse((const char *)text.bytes, text.len - 1, NULL, &did, &err) == 0, path,
              "parses", err.message)) {
        snprintf(base, sizeof(base), "expected/%.*s", (int)(strlen(name) - strlen(".did")), name);
        join(expected, dir, base, ".json");
        check_facts(did, expected);
        join(expected, dir, base, ".methods.tsv");
        if (did->service)
            check_methods(did, expected);
        check_round_trip(did, path);
    }
    ic_did_free(did);
    ic_buf_fini(&text);
}

/* ---- syntax: files that are good or bad ---- */

static void check_file(const char *path, bool good)
{
    struct ic_did *did = NULL;
    struct ic_error err = {0};
    int ret = ic_did_parse_file(path, &did, &err);

    check((ret == 0) == good, path, good ? "parses" : "is refused", err.message);
    if (ret < 0)
        check(err.code == IC_E_MALFORMED && strstr(err.message, "line "), path,
              "the error says where", err.message);
    else
        check_round_trip(did, path);
    ic_did_free(did);
}

static void check_good(const char *dir, const char *name)
{
    char path[PATH_MAX_LEN];
    join(path, dir, name, "");
    check_file(path, true);
}

static void check_bad(const char *dir, const char *name)
{
    char path[PATH_MAX_LEN];
    join(path, dir, name, "");
    check_file(path, false);
}

static void check_import(const char *dir, const char *name)
{
    char path[PATH_MAX_LEN];
    join(path, dir, name, "");
    check_file(path, strncmp(name, "bad_", 4) != 0);
}

/* ---- syntax: did-probes.jsonl ---- */

static void check_probe(json_t *probe)
{
    json_t *text = json_object_get(probe, "did"), *methods = json_object_get(probe, "methods");
    const char *name = json_string_value(json_object_get(probe, "case"));
    struct ic_did *did = NULL;
    struct ic_error err = {0};
    int ret;
    size_t n;

    if (!check(name && text, "did-probes.jsonl", "a probe", ""))
        return;
    ret = ic_did_parse(json_string_value(text), json_string_length(text), NULL, &did, &err);
    check((ret == 0) == json_is_true(json_object_get(probe, "accept")), "did-probes.jsonl", name,
          err.message);
    n = ret == 0 && did->service ? did->service->as.service.n : 0;
    if (ret == 0) {
        check(n == json_array_size(methods), name, "number of methods", "");
        for (size_t i = 0; i < n; i++)
            check(ic_view_is_text(did->service->as.service.methods[i].name,
                                  json_string_value(json_array_get(methods, i))),
                  name, "method", "");
        check_round_trip(did, name);
    }
    ic_did_free(did);
}

static void check_probes(const char *path)
{
    struct ic_buf lines = read_file(path);
    char *save = NULL;
    for (char *line = strtok_r((char *)lines.bytes, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        json_t *probe = json_loads(line, 0, NULL);
        check_probe(probe);
        json_decref(probe);
    }
    ic_buf_fini(&lines);
}

/* ---- all ---- */

static void for_each(const char *top, const char *sub,
                     void (*check_one)(const char *, const char *))
{
    char dir[PATH_MAX_LEN];
    struct dirent *e;
    int n = 0;
    DIR *d;

    join(dir, top, sub, "");
    d = opendir(dir);
    while (d && (e = readdir(d))) {
        size_t len = strlen(e->d_name);
        if (len > 4 && strcmp(e->d_name + len - 4, ".did") == 0) {
            check_one(dir, e->d_name);
            n++;
        }
    }
    if (d)
        closedir(d);
    check(n > 0, dir, "has descriptions", "");
}

int main(int argc, char **argv)
{
    char probes[PATH_MAX_LEN];

    if (argc != 2) {
        fprintf(stderr, "usage: did_samples DIR\n");
        return 2;
    }
    for_each(argv[1], ".", check_sample);
    for_each(argv[1], "syntax/good", check_good);
    for_each(argv[1], "syntax/bad", check_bad);
    for_each(argv[1], "syntax/imports", check_import);
    for_each(argv[1], "syntax/imports/import", check_good);
    for_each(argv[1], "syntax/imports/import/b", check_good);
    join(probes, argv[1], "syntax/did-probes.jsonl", "");
    check_probes(probes);
    printf("%d passed, %d failed\n", n_passed, n_failed);
    return n_failed > 0;
}
