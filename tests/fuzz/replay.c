/* SPDX-License-Identifier: MIT */
/* Runs a driver without an engine on all files of the folders given: once as they are and once cut
   in the middle, so that old findings stay fixed. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

static void run_part(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); /* exact, so that a sanitizer sees its end */
    MUST(copy != NULL);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int run_file(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *f = fopen(path, "rb");
    if (!f)
        return 0;
    size_t size = fread(data, 1, sizeof data, f);
    fclose(f);
    run_part(data, size);
    run_part(data, size / 2);
    return 1;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (!folder) {
            fprintf(stderr, "%s: cannot be opened\n", argv[i]);
            return 1;
        }
        for (struct dirent *e; (e = readdir(folder)) != NULL;) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            if (e->d_name[0] != '.')
                count += run_file(path);
        }
        closedir(folder);
    }
    printf("%d files\n", count);
    return count == 0;
}
