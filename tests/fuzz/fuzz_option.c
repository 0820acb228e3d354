/* Any command line, one word a line: it is taken or refused in words, and leaves nothing behind. */
#include "fs/option.h"
#include "tests/fuzz/target.h"

#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    char name[] = "canisterfs";
    char *argv[WORDS_MAX + 1] = {name};
    int argc = 1;
    for (char *rest = text, *word; argc < WORDS_MAX && (word = strsep(&rest, "\n"));)
        argv[argc++] = word;

    struct fs_options options;
    char message[200] = "";
    enum fs_exit result = fs_option_parse(argc, argv, &options, message, sizeof(message));
    CLAIM(result == FS_EXIT_OK || message[0] != '\0');
    CLAIM(result != FS_EXIT_OK || options.action != FS_ACTION_MOUNT ||
          (options.canister && options.mountpoint));
    fs_option_fini(&options);
    free(text);
    return 0;
}
