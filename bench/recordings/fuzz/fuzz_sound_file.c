/* Any bytes as an audio file, with a header or without: read to its end in finite samples, or refused with a reason. */
#include "bench/recordings/sound_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES_MAX  65536
#define FRAMES_MAX 1000000 /* some encodings make much out of nothing */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void read_all(const char *path, enum sound_raw raw, bool is_partial)
{
    struct sound_file *sound;
    char reason[SOUND_REASON_BYTES] = "";
    enum err err =
        is_partial ? sound_open_partial(&sound, path, raw, reason) : sound_open(&sound, path, raw, reason);
    if (err != OK) {
        ASSERT(reason[0] != '\0');
        return;
    }
    size_t channels = sound_format(sound).channels;
    double *frames = malloc(SOUND_FRAMES_MAX * channels * sizeof *frames);
    size_t got = 1;
    for (size_t done = 0; frames != NULL && err == OK && got > 0 && done < FRAMES_MAX; done += got) {
        err = sound_read(sound, frames, SOUND_FRAMES_MAX, &got, reason);
        for (size_t i = 0; i < got * channels; i++)
            ASSERT(isfinite(frames[i]));
    }
    ASSERT(err == OK || reason[0] != '\0');
    free(frames);
    (void)sound_close(sound);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    char path[64];
    int fd = memfd_create("sound", 0);
    if (fd >= 0 && length <= BYTES_MAX && write(fd, bytes, length) == (ssize_t)length) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        read_all(path, SOUND_HAS_HEADER, false);
        read_all(path, SOUND_HAS_HEADER, true);
        read_all(path, SOUND_RAW_ULAW, false);
    }
    close(fd);
    return 0;
}
