/* Audio files, read and written piece by piece at their own rate, so that a recording of any length fits.
 *
 * Everything libsndfile knows, and headerless G.711. Samples are doubles on the scale of int16 (full scale 32768):
 * integer samples up to 32 bits go through them and back without losing a bit. Thread: one at a time per file. */
#ifndef TONEGATE_BENCH_RECORDINGS_SOUND_FILE_H
#define TONEGATE_BENCH_RECORDINGS_SOUND_FILE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOUND_CHANNELS_MAX 32
#define SOUND_RATE_MIN     4000
#define SOUND_RATE_MAX     192000
#define SOUND_FRAMES_MAX   4096 /* of one sound_read() or sound_write() */
#define SOUND_REASON_BYTES 512

enum sound_raw { SOUND_HAS_HEADER, SOUND_RAW_ULAW, SOUND_RAW_ALAW };

/* SOUND_RAW_... for names that end in .ulaw .ul .pcmu .alaw .al .pcma, in any case. */
enum sound_raw sound_raw_of_name(const char *path);

struct sound_file; /* opaque */

struct sound_format {
    unsigned rate;
    unsigned channels;
    uint64_t frames; /* 0 when the file is a pipe and does not say */
};

/* path "-" is the standard input. On error reason (SOUND_REASON_BYTES) names the file and what is wrong with it.
 * ERR_SYSTEM (cannot be opened), ERR_SYNTAX (not audio, none in it, cut short), ERR_RANGE (channels, rate), ERR_MEMORY. */
MUST_USE enum err sound_open(struct sound_file **out, const char *path, enum sound_raw raw, char *reason);

/* The same, but a file that was cut short is opened; sound_read() says so when what is there has been read. */
MUST_USE enum err sound_open_partial(struct sound_file **out, const char *path, enum sound_raw raw,
                                     char *reason);

struct sound_format sound_format(const struct sound_file *sound);

/* frames: room for SOUND_FRAMES_MAX * channels, filled with *got frames, interleaved; fewer than wish (1..SOUND_FRAMES_MAX)
 * only at the end, 0 there. ERR_SYNTAX: ends before its header says, or a sample is not a number. */
MUST_USE enum err sound_read(struct sound_file *sound, double *frames, size_t wish, size_t *got,
                             char *reason);

/* A file of the same rate, channels and encoding, written to fd (not closed). name is for reasons. ERR_UNSUPPORTED
 * (libsndfile reads this encoding but does not write it), ERR_MEMORY. */
MUST_USE enum err sound_create(struct sound_file **out, int fd, const char *name,
                               const struct sound_file *like, char *reason);

/* Values beyond full scale are clipped. ERR_SYSTEM. */
MUST_USE enum err sound_write(struct sound_file *sound, const double *frames, size_t count, char *reason);

/* Writes the header of a created file. ERR_SYSTEM. NULL is accepted. */
enum err sound_close(struct sound_file *sound);

#endif
