#include "bench/phones/phone_recorder.h"

#include "bench/leak/audio_file.h"
#include "bench/phones/media_line.h"
#include "bench/phones/phone_call.h"
#include "bench/phones/phone_events.h"
#include "bench/phones/phone_orders.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIDES   2
#define WAIT_MS 100

struct recorder {
    struct media_line *sides[SIDES];
    struct phone_orders orders;
    bool is_over;
};

static void press_h(void *owner, uint8_t key)
{
    (void)owner;
    (void)key;
}

static void say_h(void *owner, const char *path)
{
    (void)owner;
    (void)path;
}

static void hang_up_h(void *owner)
{
    ((struct recorder *)owner)->is_over = true;
}

static void unknown_h(void *owner)
{
    (void)owner;
    phone_event("error", json_pack("{s:s}", "reason", "not an order"));
}

static bool open_sides(struct recorder *recorder, const struct phone_options *options)
{
    for (unsigned side = 0; side < SIDES; side++) {
        struct sockaddr_in address = options->bind;
        address.sin_port = htons((uint16_t)(options->rtp_port + 2 * side));
        if (media_line_new(&recorder->sides[side], &address, options->event_type) != OK) {
            fprintf(stderr, "tonegate-phone: RTP port %u cannot be used\n", options->rtp_port + 2 * side);
            return false;
        }
    }
    return true;
}

static void listen_until_told(struct recorder *recorder)
{
    const struct phone_order_handlers handlers = {recorder, press_h, say_h, hang_up_h, unknown_h};
    bool has_started = false;
    while (!recorder->is_over && !phone_is_stopped) {
        struct pollfd fds[SIDES + 1] = {{.fd = STDIN_FILENO, .events = POLLIN}};
        for (int side = 0; side < SIDES; side++)
            fds[side + 1] = (struct pollfd){.fd = media_line_fd(recorder->sides[side]), .events = POLLIN};
        poll(fds, SIDES + 1, WAIT_MS);
        for (int side = 0; side < SIDES; side++)
            media_line_receive(recorder->sides[side]);
        if (!has_started && media_line_tape(recorder->sides[0])->has_started) {
            has_started = true;
            phone_event("hears", NULL);
        }
        if (fds[0].revents != 0)
            phone_orders_read(&recorder->orders, STDIN_FILENO, &handlers);
    }
}

/* Both tapes on one time line that begins with the earlier of them. */
static enum err write_sides(const struct recorder *recorder, const char *path, int64_t *start_ns,
                            char *reason)
{
    const struct rtp_tape *tape[SIDES];
    size_t skip[SIDES] = {0};
    size_t count = 0;
    *start_ns = 0;
    for (int side = 0; side < SIDES; side++) {
        tape[side] = media_line_tape(recorder->sides[side]);
        if (tape[side]->has_started && (*start_ns == 0 || tape[side]->first_at.ns < *start_ns))
            *start_ns = tape[side]->first_at.ns;
    }
    for (int side = 0; side < SIDES; side++)
        if (tape[side]->has_started) {
            skip[side] = (size_t)((tape[side]->first_at.ns - *start_ns) / 125000);
            count =
                skip[side] + tape[side]->sample_count > count ? skip[side] + tape[side]->sample_count : count;
        }
    short *channels[SIDES] = {calloc(count + 1, sizeof(short)), calloc(count + 1, sizeof(short))};
    enum err err = channels[0] == NULL || channels[1] == NULL ? ERR_MEMORY : OK;
    if (err == OK) {
        for (int side = 0; side < SIDES; side++)
            if (tape[side]->sample_count > 0)
                memcpy(channels[side] + skip[side], tape[side]->samples,
                       tape[side]->sample_count * sizeof(short));
        err = audio_write(path, (const short *const *)channels, SIDES, count, reason);
    }
    for (int side = 0; side < SIDES; side++)
        free(channels[side]);
    return err;
}

static int finish(const struct recorder *recorder, const struct phone_options *options)
{
    char reason[AUDIO_REASON_BYTES] = "not enough memory";
    int64_t start_ns = 0;
    enum err err = OK;
    if (options->record_path != NULL)
        err = write_sides(recorder, options->record_path, &start_ns, reason);
    if (err != OK)
        fprintf(stderr, "tonegate-phone: %s\n", reason);
    phone_event("summary", json_pack("{s:s,s:I,s:o,s:o}", "phone", "recorder", "sample0_mono_ns",
                                     (json_int_t)(start_ns - 20 * NS_PER_MS), "hears",
                                     phone_tape_json(media_line_tape(recorder->sides[0])), "says",
                                     phone_tape_json(media_line_tape(recorder->sides[1]))));
    return err == OK ? 0 : 2;
}

int phone_recorder_run(const struct phone_options *options)
{
    struct recorder recorder = {0};
    int code = 2;
    if (options->rtp_port == 0 || options->rtp_port % 2 != 0)
        fprintf(stderr, "tonegate-phone: a recorder needs an even --rtp-port\n");
    else if (open_sides(&recorder, options)) {
        phone_event("ready", NULL);
        listen_until_told(&recorder);
        code = finish(&recorder, options);
    }
    for (int side = 0; side < SIDES; side++)
        media_line_free(recorder.sides[side]);
    return code;
}
