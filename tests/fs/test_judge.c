/* What the reply of a prepare method says. */
#include "fs/judge.h"
#include "ic/candid.h"
#include "tests/tap.h"

#include <errno.h>
#include <string.h>

TAP_STATE;

/* A message with one value of a variant with two cases, as bytes: table, case, payload. */
#define MESSAGE(bytes) ((const uint8_t *)("DIDL" bytes)), sizeof("DIDL" bytes) - 1

static void judge(const uint8_t *reply, size_t len, const char *cause, const char *what)
{
    struct ic_error err = {0};
    TAP_INT(fs_judge_reply("backup", reply, len, &err), cause ? -EIO : 0, what);
    bool fits = cause ? strcmp(err.message, cause) == 0 : err.code == IC_OK;
    TAP_OK(fits, "in these words");
    if (!fits)
        printf("# got: %s\n", err.message);
}

int main(void)
{
    judge(MESSAGE("\0\0"), NULL, "nothing");
    judge(MESSAGE("\0\1\x79\5\0\0\0"), NULL, "a number");
    judge(MESSAGE("\0\1\x71\3Err"), NULL, "a text");
    judge(MESSAGE(""), NULL, "not Candid");
    judge(NULL, 0, NULL, "no bytes");
    /* variant { Ok : null; Err : text }, hashes 17724 and 3456837 */
    judge(MESSAGE("\1\x6b\2\xbc\x8a\1\x7f\xc5\xfe\xd2\1\x71\1\0\0"), NULL, "Ok");
    judge(MESSAGE("\1\x6b\2\xbc\x8a\1\x7f\xc5\xfe\xd2\1\x71\1\0\1\4full"),
          "backup replied that it failed: full", "Err");
    /* variant { ok : null; err : nat8 }, hashes 24860 and 5048165 */
    judge(MESSAGE("\1\x6b\2\x9c\xc2\1\x7f\xe5\x8e\xb4\2\x7b\1\0\1\x07"),
          "backup replied that it failed: 7 : nat8", "err of another type");
    judge(MESSAGE("\1\x6b\2\x9c\xc2\1\x7f\xe5\x8e\xb4\2\x7b\1\0\0"), NULL, "ok");
    judge(MESSAGE("\0\1\x7e\0"), "backup replied that it failed: false", "false");
    judge(MESSAGE("\0\1\x7e\1"), NULL, "true");
    /* the words hold what a log must not get */
    judge(MESSAGE("\1\x6b\2\xbc\x8a\1\x7f\xc5\xfe\xd2\1\x71\1\0\1\3a\nb"),
          "backup replied that it failed: a?b", "a line of two");
    return tap_done();
}
