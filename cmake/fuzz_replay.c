/* Runs a libFuzzer harness over a folder of seeds in builds that have no libFuzzer, so that every seed and every
 * finding ever kept is replayed by each test run. Exit 1 when the folder is missing or empty: a replay of nothing
 * must not look like a success. */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    size_t length = 0;
    size_t capacity = 1 << 20;
    uint8_t *bytes = malloc(capacity);
    if (bytes)
        length = fread(bytes, 1, capacity, file);
    fclose(file);
    if (!bytes)
        return 1;
    /* A copy of the exact size, so that a sanitizer sees a read past the end. */
    uint8_t *exact = malloc(length ? length : 1);
    if (exact) {
        for (size_t i = 0; i < length; i++)
            exact[i] = bytes[i];
        LLVMFuzzerTestOneInput(exact, length);
    }
    free(exact);
    free(bytes);
    return exact ? 0 : 1;
}

int main(int argc, char **argv)
{
    size_t seed_count = 0;
    for (int i = 1; i < argc; i++) {
        struct dirent **entries = NULL;
        int count = scandir(argv[i], &entries, NULL, alphasort);
        if (count < 0) {
            perror(argv[i]);
            return 1;
        }
        for (int k = 0; k < count; k++) {
            char path[4096];
            snprintf(path, sizeof(path), "%s/%s", argv[i], entries[k]->d_name);
            if (entries[k]->d_name[0] != '.') {
                if (replay_file(path))
                    return 1;
                seed_count++;
            }
            free(entries[k]);
        }
        free(entries);
    }
    printf("%zu seeds replayed\n", seed_count);
    return seed_count ? 0 : 1;
}
