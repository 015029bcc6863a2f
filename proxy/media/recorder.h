/* The recorder: what the agent hears (left) and says (right), per call, as a two-channel 8 kHz WAV file, and as RTP to an
 * address. It is given what left the mask, nothing else.
 *
 * A thread of its own writes; workers hand packets over through a ring each and never wait (fork.h). What was lost on
 * the way, by network or ring, is silence, so that both channels keep their places. The header is right at every
 * moment: sizes are written again after each flush. */
#ifndef TONEGATE_PROXY_MEDIA_RECORDER_H
#define TONEGATE_PROXY_MEDIA_RECORDER_H

#include "base/err.h"
#include "proxy/media/fork.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

struct recorder;

/* directory: empty for no files; rtp with port 0: no RTP (left to its port, right to port + 2). Starts the thread.
 * places: calls at once. ERR_MEMORY, ERR_SYSTEM (the directory cannot be opened), ERR_RANGE. */
MUST_USE enum err recorder_new(struct recorder **out, const char *directory, const struct sockaddr_in *rtp,
                               size_t workers, size_t places);

/* Finishes all files. The workers must have ended. NULL is accepted. */
void recorder_free(struct recorder *recorder);

/* The worker's end. */
struct fork *recorder_fork(struct recorder *recorder, size_t worker);

struct recorder_stats {
    uint64_t packets_lost; /* the ring was full */
    uint64_t files_failed;
};
void recorder_stats(const struct recorder *recorder, struct recorder_stats *stats);

#endif
