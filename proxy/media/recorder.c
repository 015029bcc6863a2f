#include "proxy/media/recorder.h"

#include "base/log.h"
#include "base/secret.h"
#include "dsp/dtmf.h"
#include "dsp/g711.h"
#include "proxy/media/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HEADER_BYTES = 44,
    FRAME_BYTES = 4,       /* two channels of 16 bits */
    WINDOW_FRAMES = 8192,  /* about 1 s: what may still change before it is written */
    SETTLED_FRAMES = 2400, /* 300 ms: older than this is written */
    DRIFT_FRAMES = 1600,   /* 200 ms off the wall clock: the channel is placed anew */
    PAUSE_MS = 10,
    FLUSH_MS = 200,
    NAME_TRIES = 9,
};

struct recording {
    bool is_used;
    uint64_t call_id;
    int fd; /* -1: could not be opened, or failed */
    struct mono_time began;
    int64_t flushed; /* frames in the file */
    struct {
        bool has_begun;
        struct rtp_time at; /* this time of the stream ... */
        int64_t frame;      /* ... lies here in the file */
    } channels[FORK_CHANNELS];
    int16_t window[WINDOW_FRAMES][FORK_CHANNELS]; /* frame n at n % WINDOW_FRAMES, zero where nothing came */
};

struct recorder {
    pthread_t thread;
    bool is_running;
    atomic_bool must_stop;
    int directory_fd; /* -1: no files */
    int rtp_fd;       /* -1: no RTP */
    struct sockaddr_in rtp;
    size_t fork_count, place_count;
    struct fork *forks;
    struct recording *recordings; /* by place */
    struct mono_time flush_at;
    _Atomic uint64_t files_failed;
    struct log_limit fault_limit;
};

/* ---- files ---- */

static void fault(struct recorder *recorder, struct recording *recording, const char *step)
{
    uint64_t held;
    atomic_fetch_add_explicit(&recorder->files_failed, 1, memory_order_relaxed);
    if (log_limit_pass(&recorder->fault_limit, &held))
        log_event(LOG_ERROR, "recording failed: check the directory's space and rights",
                  LOG_CONSTANT("step", step), LOG_ID("call", recording->call_id), LOG_COUNT("errno", errno),
                  LOG_COUNT("held_back", held));
    if (recording->fd >= 0)
        close(recording->fd);
    recording->fd = -1;
}

static void put_le32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* RIFF header of 16-bit PCM, two channels, 8 kHz, with the sizes as they are now. */
static bool write_header(const struct recording *recording)
{
    uint8_t header[HEADER_BYTES] = "RIFF....WAVEfmt ";
    uint32_t audio_bytes = (uint32_t)(recording->flushed * FRAME_BYTES);
    put_le32(header + 4, audio_bytes + HEADER_BYTES - 8);
    put_le32(header + 16, 16);
    put_le32(header + 20, 1 | FORK_CHANNELS << 16);
    put_le32(header + 24, DTMF_SAMPLE_RATE);
    put_le32(header + 28, DTMF_SAMPLE_RATE * FRAME_BYTES);
    put_le32(header + 32, FRAME_BYTES | 16 << 16);
    memcpy(header + 36, "data", 4);
    put_le32(header + 40, audio_bytes);
    return pwrite(recording->fd, header, sizeof(header), 0) == sizeof(header);
}

/* A call that outlived a restart finds its first file there: the next one is call_<id>-2.wav. */
static int open_file(const struct recorder *recorder, uint64_t call_id)
{
    char id[17], name[48];
    log_id_text(call_id, id);
    int fd = -1;
    for (int i = 1; i <= NAME_TRIES; i++) {
        if (i == 1)
            snprintf(name, sizeof(name), "call_%s.wav", id);
        else
            snprintf(name, sizeof(name), "call_%s-%d.wav", id, i);
        fd = openat(recorder->directory_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 || errno != EEXIST)
            break;
    }
    return fd;
}

/* Writes frames up to `until`, and silence where the window has nothing. */
static void flush(struct recorder *recorder, struct recording *recording, int64_t until)
{
    if (recording->fd < 0 || until <= recording->flushed)
        return;
    while (recording->flushed < until) {
        size_t at = (size_t)(recording->flushed % WINDOW_FRAMES);
        size_t count = (size_t)(until - recording->flushed);
        if (count > WINDOW_FRAMES - at)
            count = WINDOW_FRAMES - at;
        off_t offset = HEADER_BYTES + (off_t)recording->flushed * FRAME_BYTES;
        ssize_t bytes = (ssize_t)(count * FRAME_BYTES);
        if (pwrite(recording->fd, recording->window[at], (size_t)bytes, offset) != bytes) {
            fault(recorder, recording, "write");
            return;
        }
        memset(recording->window[at], 0, (size_t)bytes);
        recording->flushed += (int64_t)count;
    }
    if (!write_header(recording))
        fault(recorder, recording, "header");
}

static int64_t frames_since(const struct recording *recording, struct mono_time now)
{
    return (now.ns - recording->began.ns) / (NS_PER_S / DTMF_SAMPLE_RATE);
}

static void end(struct recorder *recorder, struct recording *recording)
{
    if (!recording->is_used)
        return;
    flush(recorder, recording, frames_since(recording, mono_now()));
    if (recording->fd >= 0)
        close(recording->fd);
    memset(recording, 0, sizeof(*recording));
}

static void begin(struct recorder *recorder, struct recording *recording, const struct fork_slot *slot)
{
    end(recorder, recording);
    recording->is_used = true;
    recording->call_id = slot->call_id;
    recording->began = slot->at;
    recording->fd = recorder->directory_fd < 0 ? -1 : open_file(recorder, slot->call_id);
    if (recorder->directory_fd < 0)
        return;
    if (recording->fd < 0 || !write_header(recording))
        fault(recorder, recording, "open");
}

/* Where a packet lies in the file: by its stream's clock as long as that agrees with the wall clock. */
static int64_t place_packet(struct recording *recording, const struct fork_slot *slot)
{
    struct rtp_time at = {slot->header.timestamp};
    int64_t due = frames_since(recording, slot->at);
    int64_t frame =
        recording->channels[slot->channel].frame + rtp_time_diff(recording->channels[slot->channel].at, at);
    if (!recording->channels[slot->channel].has_begun || frame < due - DRIFT_FRAMES ||
        frame > due + DRIFT_FRAMES) {
        recording->channels[slot->channel].has_begun = true;
        recording->channels[slot->channel].at = at;
        recording->channels[slot->channel].frame = due;
        frame = due;
    }
    return frame;
}

static void write_packet(struct recorder *recorder, struct recording *recording, const struct fork_slot *slot)
{
    int16_t pcm[LIMIT_FRAME_SAMPLES];
    int64_t frame = place_packet(recording, slot);
    if (frame + slot->payload_bytes > recording->flushed + WINDOW_FRAMES)
        flush(recorder, recording, frame + slot->payload_bytes - WINDOW_FRAMES);
    g711_decode(slot->codec == MEDIA_PCMA ? G711_ALAW : G711_ULAW, slot->payload, pcm, slot->payload_bytes);
    for (int64_t i = 0; i < slot->payload_bytes; i++) {
        if (frame + i >= recording->flushed)
            recording->window[(frame + i) % WINDOW_FRAMES][slot->channel] = pcm[i];
    }
}

/* ---- RTP ---- */

static void send_rtp(const struct recorder *recorder, const struct fork_slot *slot)
{
    uint8_t packet[RTP_HEADER_BYTES + LIMIT_FRAME_SAMPLES];
    struct sockaddr_in to = recorder->rtp;
    if (slot->channel == FORK_SAID)
        to.sin_port = htons((uint16_t)(ntohs(to.sin_port) + 2));
    rtp_write_header(&slot->header, packet);
    memcpy(packet + RTP_HEADER_BYTES, slot->payload, slot->payload_bytes);
    (void)!sendto(recorder->rtp_fd, packet, RTP_HEADER_BYTES + slot->payload_bytes, MSG_DONTWAIT,
                  (const struct sockaddr *)&to,
                  sizeof(to)); /* a recorder that is away is no fault of the call */
}

/* ---- the thread ---- */

static void take_slot(struct recorder *recorder, const struct fork_slot *slot)
{
    if (slot->place >= recorder->place_count)
        return;
    struct recording *recording = &recorder->recordings[slot->place];
    if (slot->payload_bytes == 0) {
        if (recording->call_id == slot->call_id)
            end(recorder, recording);
        return;
    }
    if (recorder->rtp_fd >= 0)
        send_rtp(recorder, slot);
    if (recorder->directory_fd < 0)
        return;
    if (!recording->is_used || recording->call_id != slot->call_id)
        begin(recorder, recording, slot);
    if (recording->fd >= 0)
        write_packet(recorder, recording, slot);
}

static void drain(struct recorder *recorder)
{
    struct fork_slot slot;
    for (size_t i = 0; i < recorder->fork_count; i++) {
        for (int n = 0; n < FORK_RING_SLOTS && ring_take(recorder->forks[i].ring, &slot) == OK; n++)
            take_slot(recorder, &slot);
    }
}

static void flush_due(struct recorder *recorder, struct mono_time now)
{
    if (!mono_reached(now, recorder->flush_at))
        return;
    recorder->flush_at = mono_add_ms(now, FLUSH_MS);
    for (size_t i = 0; i < recorder->place_count; i++) {
        struct recording *recording = &recorder->recordings[i];
        if (recording->is_used)
            flush(recorder, recording, frames_since(recording, now) - SETTLED_FRAMES);
    }
}

static void *recorder_run(void *argument)
{
    struct recorder *recorder = argument;
    struct timespec pause = {.tv_nsec = PAUSE_MS * NS_PER_MS};
    while (!atomic_load_explicit(&recorder->must_stop, memory_order_acquire)) {
        drain(recorder);
        flush_due(recorder, mono_now());
        nanosleep(&pause, NULL);
    }
    drain(recorder);
    for (size_t i = 0; i < recorder->place_count; i++)
        end(recorder, &recorder->recordings[i]);
    return NULL;
}

static enum err open_outputs(struct recorder *recorder, const char *directory)
{
    if (directory[0] != '\0') {
        recorder->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (recorder->directory_fd < 0)
            return ERR_SYSTEM;
    }
    if (recorder->rtp.sin_port != 0) {
        recorder->rtp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (recorder->rtp_fd < 0)
            return ERR_SYSTEM;
    }
    return OK;
}

static enum err recorder_start(struct recorder *recorder, const char *directory)
{
    if (!recorder->forks || !recorder->recordings)
        return ERR_MEMORY;
    for (size_t i = 0; i < recorder->fork_count; i++) {
        enum err err = ring_new(&recorder->forks[i].ring, FORK_RING_SLOTS, sizeof(struct fork_slot));
        if (err)
            return err;
    }
    enum err err = open_outputs(recorder, directory);
    if (err)
        return err;
    if (pthread_create(&recorder->thread, NULL, recorder_run, recorder) != 0)
        return ERR_SYSTEM;
    recorder->is_running = true;
    return OK;
}

enum err recorder_new(struct recorder **out, const char *directory, const struct sockaddr_in *rtp,
                      size_t workers, size_t places)
{
    *out = NULL;
    struct recorder *recorder = calloc(1, sizeof(*recorder));
    if (!recorder)
        return ERR_MEMORY;
    recorder->directory_fd = recorder->rtp_fd = -1;
    recorder->rtp = *rtp;
    recorder->rtp.sin_family = AF_INET;
    recorder->fork_count = workers;
    recorder->place_count = places;
    recorder->forks = calloc(workers, sizeof(*recorder->forks));
    recorder->recordings = calloc(places, sizeof(*recorder->recordings));
    enum err err = recorder_start(recorder, directory);
    if (err) {
        recorder_free(recorder);
        return err;
    }
    *out = recorder;
    return OK;
}

void recorder_free(struct recorder *recorder)
{
    if (!recorder)
        return;
    if (recorder->is_running) {
        atomic_store_explicit(&recorder->must_stop, true, memory_order_release);
        pthread_join(recorder->thread, NULL);
    }
    for (size_t i = 0; recorder->forks && i < recorder->fork_count; i++)
        ring_free(recorder->forks[i].ring);
    if (recorder->directory_fd >= 0)
        close(recorder->directory_fd);
    if (recorder->rtp_fd >= 0)
        close(recorder->rtp_fd);
    free(recorder->forks);
    free(recorder->recordings);
    free(recorder);
}

struct fork *recorder_fork(struct recorder *recorder, size_t worker)
{
    return &recorder->forks[worker];
}

void recorder_stats(const struct recorder *recorder, struct recorder_stats *stats)
{
    *stats = (struct recorder_stats){.files_failed =
                                         atomic_load_explicit(&recorder->files_failed, memory_order_relaxed)};
    for (size_t i = 0; i < recorder->fork_count; i++)
        stats->packets_lost += atomic_load_explicit(&recorder->forks[i].lost, memory_order_relaxed);
}
