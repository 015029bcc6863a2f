/* Any bytes as an audio file: read whole with finite samples, or refused with a reason. */
#include "bench/leak/audio_file.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    char path[64];
    char reason[AUDIO_REASON_BYTES];
    struct audio *audio = NULL;
    int fd = memfd_create("audio", 0);
    if (fd < 0 || length > 65536 || write(fd, bytes, length) != (ssize_t)length) {
        close(fd);
        return 0;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (audio_read(&audio, path, reason) == OK)
        for (size_t i = 0; i < audio->sample_count; i++)
            ASSERT(isfinite(audio->channel[0][i]));
    else
        ASSERT(reason[0] != '\0');
    audio_free(audio);
    close(fd);
    return 0;
}
