/* One recording through the armed path into a new file of the same format. */
#ifndef TONEGATE_BENCH_RECORDINGS_MASK_FILE_H
#define TONEGATE_BENCH_RECORDINGS_MASK_FILE_H

#include "base/err.h"
#include "bench/recordings/mask_channel.h"
#include "bench/recordings/sound_file.h"

#define MASK_FILE_REASON_BYTES SOUND_REASON_BYTES

struct mask_file_result {
    struct sound_format format;
    struct mask_channel_report
        channels[SOUND_CHANNELS_MAX]; /* with spans of their own: mask_file_release() */
};

/* Called now and then with how far it is, 0..1. */
typedef void mask_file_progress_h(void *owner, double share);

struct mask_file_job {
    const char *in;
    const char *out;
    enum sound_raw raw;
    struct mask_channel_options options;
    mask_file_progress_h *progress_h; /* NULL: none */
    void *owner;
};

/* OUT is there whole when this returns OK, and not at all otherwise. reason (MASK_FILE_REASON_BYTES) names the file that is
 * wrong. ERR_EXISTS (never overwrites), and those of sound_open(), sound_read(), sound_create(). */
MUST_USE enum err mask_file(const struct mask_file_job *job, struct mask_file_result *result, char *reason);

void mask_file_release(struct mask_file_result *result);

#endif
