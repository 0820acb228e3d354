/* Identities by name: stores as icp-cli and dfx keep them, with every kind, and damaged ones. */
#include "fs/identity_store.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

TAP_STATE;

#define ICP          FS_IDENTITY_ICP
#define DFX          FS_IDENTITY_DFX
#define OWNER_TEXT   "jj5yb-kxwog-t6hmv-jxmpm-rtuci-uikjz-qkezj-4armi-wihgt-ulmi3-bqe"
#define OWNER        ",\"principal\":\"" OWNER_TEXT "\""
#define STORED(kind) ",\"storage\":{\"kind\":\"" kind "\"}"

static char top[] = "/tmp/canisterfs-test-store-XXXXXX";

static const char *below(const char *path)
{
    static char full[4][256];
    static unsigned next;
    char *out = full[next++ % 4];
    snprintf(out, sizeof(full[0]), "%s/%s", top, path);
    return out;
}

/* Write a file and the directories above it. */
static void write_file(const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof(full), "%s", below(path));
    for (char *slash = full + strlen(top) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *f = fopen(full, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0) {
        printf("Bail out! cannot write %s\n", full);
        exit(1);
    }
}

static void set_environment(const char *home, const char *icp, const char *data, const char *dfx)
{
    static const char *const names[] = {"HOME", "ICP_HOME", "XDG_DATA_HOME", "DFX_CONFIG_ROOT"};
    const char *values[] = {home, icp, data, dfx};
    for (int i = 0; i < 4; i++)
        if (values[i] && values[i][0] == '/')
            setenv(names[i], values[i], 1);
        else if (values[i])
            setenv(names[i], values[i][0] == '.' ? values[i] : below(values[i]), 1);
        else
            unsetenv(names[i]);
}

static void found(enum fs_identity_store store, const char *name, const char *key_file,
                  const char *chain_file)
{
    struct fs_identity_place place = {0};
    struct ic_error err = {0};
    if (!TAP_INT(fs_identity_store_find(store, name, &place, &err), 0, name))
        printf("# said: %s\n", err.message);
    TAP_OK(place.key_file && strcmp(place.key_file, below(key_file)) == 0, "has its key there");
    TAP_OK(chain_file ? place.chain_file && strcmp(place.chain_file, below(chain_file)) == 0
                      : !place.chain_file,
           "and its delegations");
    char text[IC_PRINCIPAL_TEXT] = OWNER_TEXT;
    if (place.has_principal)
        ic_principal_format(&place.principal, text);
    TAP_OK(place.has_principal == (store == ICP) && strcmp(text, OWNER_TEXT) == 0,
           "icp-cli tells its principal");
    fs_identity_place_fini(&place);
}

static void refused(enum fs_identity_store store, const char *name, int errno_want,
                    const char *said)
{
    struct fs_identity_place place = {0};
    struct ic_error err = {0};
    TAP_INT(fs_identity_store_find(store, name, &place, &err), errno_want, name);
    if (!TAP_OK(strstr(err.message, said) != NULL, said))
        printf("# said: %s\n", err.message);
    TAP_OK(!place.key_file && !place.chain_file, "nothing came out");
}

static void test_icp(void)
{
    write_file(
        "icp/identity/identity_list.json",
        "{\"v\":1,\"identities\":{"
        "\"anonymous\":{\"kind\":\"anonymous\"},"
        "\"plain\":{\"kind\":\"pem\",\"format\":\"plaintext\"" OWNER "},"
        "\"locked\":{\"kind\":\"pem\",\"format\":\"pbes2\"" OWNER "},"
        "\"session\":{\"kind\":\"delegation\"" OWNER STORED(
            "pem") "},"
                   "\"web\":{\"kind\":\"web-auth\"" OWNER STORED(
                       "pem") "},"
                              "\"ii\":{\"kind\":\"internet-identity\"" OWNER "},"
                              "\"ring\":{\"kind\":\"keyring\"" OWNER "},"
                              "\"ringed\":{\"kind\":\"delegation\"" OWNER STORED(
                                  "keyring") "},"
                                             "\"hard\":{\"kind\":\"hsm\"" OWNER "},"
                                             "\"waiting\":{\"kind\":\"pending-delegation\"" STORED(
                                                 "pem") "},"
                                                        "\"new\":{\"kind\":\"telepathy\"" OWNER "},"
                                                        "\"bare\":{\"kind\":\"pem\"},"
                                                        "\"..\":{\"kind\":\"pem\"" OWNER "},"
                                                        "\"a/b\":{\"kind\":\"pem\"" OWNER "},"
                                                        "\"list\":[]}}");
    set_environment("home", "icp", NULL, NULL);
    found(ICP, "plain", "icp/identity/keys/plain.pem", NULL);
    found(ICP, "locked", "icp/identity/keys/locked.pem", NULL);
    found(ICP, "session", "icp/identity/keys/session.pem", "icp/identity/delegations/session.json");
    found(ICP, "web", "icp/identity/keys/web.pem", "icp/identity/delegations/web.json");
    found(ICP, "ii", "icp/identity/keys/ii.pem", "icp/identity/delegations/ii.json");
    refused(ICP, "ring", -EINVAL, "icp identity export ring > ring.pem");
    refused(ICP, "ringed", -EINVAL, "session key in the keyring");
    refused(ICP, "hard", -EINVAL, "hardware module");
    refused(ICP, "waiting", -EINVAL, "no delegation yet");
    refused(ICP, "new", -EINVAL, "of a kind that canisterfs does not know");
    refused(ICP, "list", -EINVAL, "of a kind that canisterfs does not know");
    refused(ICP, "bare", -EINVAL, "has no principal");
    refused(ICP, "nobody", -ENOENT, "no such identity");
    refused(ICP, "", -ENOENT, "no name");
    refused(ICP, "..", -ENOENT, "no name");
    refused(ICP, "a/b", -ENOENT, "no name");

    struct fs_identity_place place = {0};
    struct ic_error err = {0};
    TAP_INT(fs_identity_store_find(ICP, "anonymous", &place, &err), 0, "anonymous");
    TAP_OK(place.is_anonymous && !place.key_file, "has no key");
    fs_identity_place_fini(&place);
}

static void test_icp_directories(void)
{
    static const char list[] = "{\"v\":1,\"identities\":{\"x\":{\"kind\":\"pem\"" OWNER "}}}";
    write_file("data/icp-cli/identity/identity_list.json", list);
    write_file("home/.local/share/icp-cli/identity/identity_list.json", list);
    set_environment("home", NULL, "data", NULL);
    found(ICP, "x", "data/icp-cli/identity/keys/x.pem", NULL);
    set_environment("home", NULL, "./data", NULL);
    found(ICP, "x", "home/.local/share/icp-cli/identity/keys/x.pem", NULL);
    set_environment("home", NULL, NULL, NULL);
    found(ICP, "x", "home/.local/share/icp-cli/identity/keys/x.pem", NULL);
    set_environment("elsewhere", NULL, NULL, NULL);
    refused(ICP, "x", -ENOENT, "elsewhere/.local/share/icp-cli/identity");
    refused(DFX, "x", -ENOENT, "elsewhere/.config/dfx/identity");
    set_environment(NULL, NULL, NULL, NULL);
    refused(ICP, "x", -ENOENT, "HOME is not set");
    refused(DFX, "x", -ENOENT, "HOME is not set");
}

static void test_damaged(void)
{
    set_environment(NULL, "bad", NULL, "bad");
    write_file("bad/identity/identity_list.json", "{\"v\":2,\"identities\":{}}");
    refused(ICP, "x", -EINVAL, "of a version");
    write_file("bad/identity/identity_list.json", "{\"v\":1,");
    refused(ICP, "x", -EINVAL, "no JSON object");
    write_file("bad/identity/identity_list.json", "[1]");
    refused(ICP, "x", -EINVAL, "no JSON object");
    write_file("bad/identity/identity_list.json", "{\"v\":1}");
    refused(ICP, "x", -ENOENT, "no such identity");
    write_file("bad/.config/dfx/identity/x/identity.json", "{");
    refused(DFX, "x", -EINVAL, "no JSON object");
    write_file("bad/.config/dfx/identity/file", "");
    refused(DFX, "file", -ENOENT, "no such identity");
    write_file("odd/identity", "a file");
    set_environment(NULL, "odd", NULL, NULL);
    refused(ICP, "x", -ENOENT, "no ");
    write_file("dir/identity/identity_list.json/x", "");
    set_environment(NULL, "dir", NULL, NULL);
    refused(ICP, "x", -EINVAL, "identity_list.json: not a regular file");
}

static void test_dfx(void)
{
    write_file("home/.config/dfx/identity/default/identity.pem", "");
    write_file("home/.config/dfx/identity/plain/identity.pem", "");
    write_file("home/.config/dfx/identity/plain/identity.json",
               "{\"hsm\":null,\"encryption\":null,\"keyring_identity_suffix\":null}");
    write_file("home/.config/dfx/identity/locked/identity.json",
               "{\"encryption\":{\"pw_salt\":\"00\",\"file_nonce\":[1]}}");
    write_file("home/.config/dfx/identity/ring/identity.json",
               "{\"keyring_identity_suffix\":\"ring\"}");
    write_file("home/.config/dfx/identity/hard/identity.json",
               "{\"hsm\":{\"pkcs11_lib_path\":\"/x\",\"key_id\":\"00\"}}");
    write_file("root/.config/dfx/identity/plain/identity.pem", "");
    set_environment("home", NULL, NULL, NULL);
    found(DFX, "default", "home/.config/dfx/identity/default/identity.pem", NULL);
    found(DFX, "plain", "home/.config/dfx/identity/plain/identity.pem", NULL);
    refused(DFX, "locked", -EINVAL, "dfx identity export locked > locked.pem");
    refused(DFX, "ring", -EINVAL, "dfx identity export ring > ring.pem");
    refused(DFX, "hard", -EINVAL, "hardware module");
    refused(DFX, "nobody", -ENOENT, "no such identity");
    refused(DFX, ".", -ENOENT, "no name");
    set_environment("home", NULL, NULL, "root");
    found(DFX, "plain", "root/.config/dfx/identity/plain/identity.pem", NULL);
    refused(DFX, "default", -ENOENT, "root/.config/dfx/identity");
}

int main(void)
{
    char command[64];
    if (!mkdtemp(top))
        return 1;
    test_icp();
    test_icp_directories();
    test_damaged();
    test_dfx();
    snprintf(command, sizeof(command), "rm -r %s", top);
    if (system(command) != 0)
        return 1;
    return tap_done();
}
