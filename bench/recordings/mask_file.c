#include "bench/recordings/mask_file.h"

#include "base/secret.h"
#include "bench/recordings/new_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PIECE        4096
#define PROGRESS_PER 262144 /* frames between two calls */

_Static_assert(NEW_FILE_REASON_BYTES == MASK_FILE_REASON_BYTES, "reasons go from one to the other");
_Static_assert(PIECE <= SOUND_FRAMES_MAX, "a piece is read and written at once");
_Static_assert(PIECE <= MASK_CHANNEL_FEED_MAX, "a piece is masked at once");

struct work {
    const struct mask_file_job *job;
    struct sound_format format;
    struct sound_file *in;
    struct sound_file *out;
    struct mask_channel *channels[SOUND_CHANNELS_MAX];
    double *frames; /* interleaved */
    double *one;
    uint64_t done;
    uint64_t progress_at;
    char *reason;
};

static enum err say(struct work *work, enum err err)
{
    if (err && work->reason[0] == '\0')
        snprintf(work->reason, MASK_FILE_REASON_BYTES, "%s: %s", work->job->in, err_str(err));
    return err;
}

/* As many frames as every channel has ready. */
static enum err write_ready(struct work *work)
{
    size_t channels = work->format.channels;
    for (;;) {
        size_t count = PIECE;
        for (size_t c = 0; c < channels; c++) {
            size_t ready = mask_channel_ready(work->channels[c]);
            count = ready < count ? ready : count;
        }
        if (count == 0)
            return OK;
        for (size_t c = 0; c < channels; c++) {
            mask_channel_take(work->channels[c], work->one, count);
            for (size_t i = 0; i < count; i++)
                work->frames[i * channels + c] = work->one[i];
        }
        enum err err = sound_write(work->out, work->frames, count, work->reason);
        if (err)
            return err;
    }
}

static void report_progress(struct work *work)
{
    if (work->job->progress_h == NULL || work->format.frames == 0 || work->done < work->progress_at)
        return;
    work->job->progress_h(work->job->owner, (double)work->done / (double)work->format.frames);
    work->progress_at = work->done + PROGRESS_PER;
}

static enum err run(struct work *work)
{
    size_t channels = work->format.channels;
    size_t got = 0;
    do {
        enum err err = sound_read(work->in, work->frames, PIECE, &got, work->reason);
        for (size_t c = 0; c < channels && err == OK; c++) {
            for (size_t i = 0; i < got; i++)
                work->one[i] = work->frames[i * channels + c];
            err = got > 0 ? mask_channel_feed(work->channels[c], work->one, got)
                          : mask_channel_end(work->channels[c]);
        }
        if (err == OK)
            err = write_ready(work);
        if (err)
            return say(work, err);
        work->done += got;
        report_progress(work);
    } while (got > 0);
    return OK;
}

static enum err begin(struct work *work, int fd)
{
    work->format = sound_format(work->in);
    enum err err = sound_create(&work->out, fd, work->job->out, work->in, work->reason);
    for (size_t c = 0; c < work->format.channels && err == OK; c++)
        err = mask_channel_new(&work->channels[c], work->format.rate, &work->job->options);
    if (err == OK) {
        work->frames = calloc((size_t)PIECE * SOUND_CHANNELS_MAX, sizeof *work->frames);
        work->one = calloc(PIECE, sizeof *work->one);
        err = work->frames == NULL || work->one == NULL ? ERR_MEMORY : OK;
    }
    return say(work, err);
}

/* Spans move to the result. */
static void take_reports(struct work *work, struct mask_file_result *result)
{
    for (size_t c = 0; c < work->format.channels; c++) {
        struct mask_channel_report *report = &result->channels[c];
        mask_channel_report(work->channels[c], report);
        if (report->span_count == 0) {
            report->spans = NULL;
            continue;
        }
        struct mask_channel_span *spans = malloc(report->span_count * sizeof *spans);
        if (spans == NULL)
            report->span_count = 0;
        else
            memcpy(spans, report->spans, report->span_count * sizeof *spans);
        report->spans = spans;
    }
}

static void release(struct work *work)
{
    for (size_t c = 0; c < SOUND_CHANNELS_MAX; c++)
        mask_channel_free(work->channels[c]);
    if (work->frames != NULL)
        wipe(work->frames, (size_t)PIECE * SOUND_CHANNELS_MAX * sizeof *work->frames);
    if (work->one != NULL)
        wipe(work->one, PIECE * sizeof *work->one);
    free(work->frames);
    free(work->one);
    (void)sound_close(work->out);
    (void)sound_close(work->in);
}

static enum err run_into(struct work *work, struct mask_file_result *result)
{
    struct stat status;
    struct new_file file;
    mode_t mode = stat(work->job->in, &status) == 0 ? status.st_mode & 0666 : 0600;
    enum err err = new_file_open(&file, work->job->out, mode, work->reason);
    if (err)
        return err;
    err = begin(work, file.fd);
    if (err == OK)
        err = run(work);
    if (err == OK) {
        err = sound_close(work->out);
        work->out = NULL;
        if (err)
            snprintf(work->reason, MASK_FILE_REASON_BYTES, "%s: could not be written", work->job->out);
    }
    if (err == OK) {
        err = new_file_finish(&file, work->reason);
        result->format = work->format;
        result->format.frames = work->done;
        take_reports(work, result);
    }
    new_file_drop(&file);
    return err;
}

enum err mask_file(const struct mask_file_job *job, struct mask_file_result *result, char *reason)
{
    struct work work = {.job = job, .reason = reason};
    reason[0] = '\0';
    memset(result, 0, sizeof *result);
    enum err err = sound_open(&work.in, job->in, job->raw, reason);
    if (err == OK)
        err = run_into(&work, result);
    release(&work);
    return err;
}

void mask_file_release(struct mask_file_result *result)
{
    for (size_t c = 0; c < SOUND_CHANNELS_MAX; c++)
        free(result->channels[c].spans);
    memset(result, 0, sizeof *result);
}
