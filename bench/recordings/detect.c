#include "bench/recordings/detect.h"

#include "base/secret.h"
#include "bench/recordings/listener.h"
#include "bench/recordings/rate_change.h"
#include "bench/recordings/rtp_capture.h"
#include "bench/recordings/sound_file.h"
#include "dsp/dtmf.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define EXIT_INPUT 2
#define PIECE_MS   20 /* of a recording read at once: a pipe's keys are said so soon */

static const char usage[] =
    "usage: tonegate detect FILE... [options]\n"
    "  FILE            audio of any rate, size and number of channels; G.711 without a header; a capture of "
    "RTP\n"
    "                  (pcap, pcapng). \"-\" is the standard input: a capture, or what --raw says\n"
    "  --engine NAME   own (default) or spandsp\n"
    "  --text          a table for people instead of one JSON object a line and key\n"
    "  --at-once       say a key when it is known, not when it was released (its end_ms is null)\n"
    "  --raw LAW       FILE has no header: ulaw or alaw, mono, 8000 Hz (known from .ulaw .ul .pcmu .alaw .al "
    ".pcma)\n"
    "  --event-type N  RTP payload type of telephone-events, 96..127; otherwise they are recognised\n"
    "  --partial       say what there is in a file up to its fault; otherwise a faulty file says nothing\n"
    "Times are ms from the start of the file; of a capture, from its first packet. Channels count from 1; in "
    "a capture\n"
    "they are RTP streams. Exit 0: everything was read. 2: a file was not; the others were.\n";

struct request {
    struct listener_options listener;
    enum sound_raw raw;
    int event_type;
    bool is_partial;
};

/* ------------------------------------------------------------------ audio files */

struct ears {
    size_t channel_count;
    struct listener *listeners[SOUND_CHANNELS_MAX];
    struct rate_change *changes[SOUND_CHANNELS_MAX]; /* NULL at 8 kHz */
    double *frames;
    float *one;
    float *narrow;
};

static void ears_release(struct ears *ears)
{
    for (size_t c = 0; c < ears->channel_count; c++) {
        listener_end(ears->listeners[c]);
        rate_change_free(ears->changes[c]);
    }
    free(ears->frames);
    free(ears->one);
    free(ears->narrow);
    memset(ears, 0, sizeof *ears);
}

static enum err ears_init(struct ears *ears, const struct request *request, const char *path,
                          struct sound_format format)
{
    size_t room = SOUND_FRAMES_MAX;
    enum err err = OK;
    memset(ears, 0, sizeof *ears);
    for (size_t c = 0; c < format.channels && err == OK; c++) {
        double wait_ms = 0;
        ears->channel_count = c + 1;
        if (format.rate != DTMF_SAMPLE_RATE)
            err = rate_change_new(&ears->changes[c], format.rate, DTMF_SAMPLE_RATE);
        if (err == OK && ears->changes[c] != NULL) {
            room = rate_change_room(ears->changes[c]);
            wait_ms = (double)rate_change_reach(ears->changes[c]) * 1000 / format.rate;
        }
        if (err == OK)
            err = listener_new(&ears->listeners[c], &request->listener, path, (unsigned)c + 1, 0, wait_ms);
    }
    ears->frames = calloc((size_t)SOUND_FRAMES_MAX * SOUND_CHANNELS_MAX, sizeof *ears->frames);
    ears->one = calloc(SOUND_FRAMES_MAX, sizeof *ears->one);
    ears->narrow = calloc(room, sizeof *ears->narrow);
    if (ears->frames == NULL || ears->one == NULL || ears->narrow == NULL)
        err = ERR_MEMORY;
    return err;
}

/* count frames, interleaved; 0 says that there will be no more. */
static void ears_feed(struct ears *ears, size_t count)
{
    for (size_t c = 0; c < ears->channel_count; c++) {
        for (size_t i = 0; i < count; i++)
            ears->one[i] = (float)ears->frames[i * ears->channel_count + c];
        if (ears->changes[c] == NULL) {
            listener_feed_float(ears->listeners[c], ears->one, count);
            continue;
        }
        size_t narrow = count == 0 ? rate_change_end(ears->changes[c], ears->narrow)
                                   : rate_change_feed(ears->changes[c], ears->one, count, ears->narrow);
        listener_feed_float(ears->listeners[c], ears->narrow, narrow);
    }
}

static enum err listen_sound(struct sound_file *sound, const struct request *request, const char *path,
                             char *reason)
{
    struct ears ears;
    size_t got = 0;
    size_t wish = sound_format(sound).rate * PIECE_MS / 1000;
    enum err err = ears_init(&ears, request, path, sound_format(sound));
    if (err)
        snprintf(reason, SOUND_REASON_BYTES, "%s: %s", path, err_str(err));
    while (err == OK) {
        err = sound_read(sound, ears.frames, wish, &got, reason);
        if (err == OK)
            ears_feed(&ears, got);
        if (got == 0)
            break;
    }
    ears_release(&ears);
    return err;
}

/* Reads everything once and says nothing, so that a faulty file is refused before its first key is said. */
static enum err check_sound(const char *path, enum sound_raw raw, char *reason)
{
    struct sound_file *sound;
    size_t got = 1;
    enum err err = sound_open(&sound, path, raw, reason);
    if (err)
        return err;
    double *frames = calloc((size_t)SOUND_FRAMES_MAX * SOUND_CHANNELS_MAX, sizeof *frames);
    if (frames == NULL) {
        snprintf(reason, SOUND_REASON_BYTES, "%s: %s", path, err_str(ERR_MEMORY));
        err = ERR_MEMORY;
    }
    while (err == OK && got > 0)
        err = sound_read(sound, frames, SOUND_FRAMES_MAX, &got, reason);
    free(frames);
    (void)sound_close(sound);
    return err;
}

static enum err detect_sound(const struct request *request, const char *path, bool is_file, char *reason)
{
    struct sound_file *sound;
    enum sound_raw raw = request->raw != SOUND_HAS_HEADER ? request->raw : sound_raw_of_name(path);
    enum err err = is_file && !request->is_partial ? check_sound(path, raw, reason) : OK;
    if (err == OK && request->is_partial)
        err = sound_open_partial(&sound, path, raw, reason);
    else if (err == OK)
        err = sound_open(&sound, path, raw, reason);
    if (err)
        return err;
    err = listen_sound(sound, request, path, reason);
    (void)sound_close(sound);
    return err;
}

/* ------------------------------------------------------------------ any file */

static enum err detect_file(const struct request *request, const char *path, char *reason)
{
    struct stat status;
    bool is_file = stat(path, &status) == 0 && S_ISREG(status.st_mode);
    bool is_capture =
        request->raw == SOUND_HAS_HEADER && (strcmp(path, "-") == 0 || (is_file && rtp_capture_is_one(path)));
    if (!is_capture)
        return detect_sound(request, path, is_file, reason);
    struct rtp_capture_options options = {&request->listener, request->event_type, false};
    options.is_silent = true;
    enum err err = is_file && !request->is_partial ? rtp_capture_listen(path, &options, reason) : OK;
    options.is_silent = false;
    return err ? err : rtp_capture_listen(path, &options, reason);
}

static bool take_name(const char *value, const char *const names[2], int *out)
{
    for (int i = 0; i < 2; i++)
        if (strcmp(value, names[i]) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static bool take_option(struct request *request, int option, const char *value)
{
    static const char *const engines[2] = {"own", "spandsp"};
    static const char *const laws[2] = {"ulaw", "alaw"};
    int choice = 0;
    char *end;
    switch (option) {
    case 'e':
        if (!take_name(value, engines, &choice))
            return false;
        request->listener.engine = choice ? LISTENER_SPANDSP : LISTENER_OWN;
        return true;
    case 'r':
        if (!take_name(value, laws, &choice))
            return false;
        request->raw = choice ? SOUND_RAW_ALAW : SOUND_RAW_ULAW;
        return true;
    case 'v':
        request->event_type = (int)strtol(value, &end, 10);
        return *end == '\0' && request->event_type >= 96 && request->event_type <= 127;
    case 't':
        request->listener.is_text = true;
        return true;
    case 'a':
        request->listener.is_at_once = true;
        return true;
    case 'p':
        request->is_partial = true;
        return true;
    default:
        return false;
    }
}

/* 0: go on; otherwise the exit code plus 1. */
static int parse(struct request *request, int argc, char **argv)
{
    static const struct option options[] = {
        {"engine", required_argument, NULL, 'e'},
        {"text", no_argument, NULL, 't'},
        {"json", no_argument, NULL, 'j'},
        {"at-once", no_argument, NULL, 'a'},
        {"raw", required_argument, NULL, 'r'},
        {"partial", no_argument, NULL, 'p'},
        {"event-type", required_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option;
    *request = (struct request){.listener = {.out = stdout}, .event_type = -1};
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return 1;
        }
        if (option == 'j')
            continue;
        if (!take_option(request, option, optarg)) {
            if (option != '?')
                fprintf(stderr, "tonegate detect: %s is not a value this option takes\n", optarg);
            fputs(usage, stderr);
            return EXIT_INPUT + 1;
        }
    }
    if (optind < argc)
        return 0;
    fputs(usage, stderr);
    return EXIT_INPUT + 1;
}

int detect_command(int argc, char **argv)
{
    struct request request;
    int code = parse(&request, argc, argv);
    if (code != 0)
        return code - 1;
    listener_print_head(&request.listener);
    for (int i = optind; i < argc; i++) {
        char reason[SOUND_REASON_BYTES] = "";
        if (detect_file(&request, argv[i], reason) == OK)
            continue;
        fprintf(stderr, "tonegate detect: %s\n", reason);
        code = EXIT_INPUT;
    }
    if (ferror(stdout) || fflush(stdout) != 0) {
        fprintf(stderr, "tonegate detect: standard output: %m\n");
        code = EXIT_INPUT;
    }
    return code;
}
