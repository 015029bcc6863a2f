#include "bench/phones/phone_call.h"

#include "base/clock.h"
#include "bench/leak/audio_file.h"
#include "bench/leak/key_labels.h"
#include "bench/phones/media_line.h"
#include "bench/phones/phone_events.h"
#include "bench/phones/phone_orders.h"
#include "bench/phones/sip_line.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define SENT_MAX     (8000U * 3600)
#define BURST_MAX    10   /* frames sent in a row after a late wake-up */
#define GOODBYE_MS   3000 /* for the answer to our BYE */
#define EVENT_ENDS   3    /* the last packet of an event goes three times (RFC 4733 §2.5.1.4) */
#define GAIN_PERCENT 100

volatile int phone_is_stopped;

struct phone {
    const struct phone_options *options;
    struct sip_line *line;
    struct media_line *media;
    struct voice *voice;
    struct phone_orders orders;
    int16_t *sent; /* caller: everything that went out, as a receiver decodes it */
    size_t sent_count;
    size_t sent_capacity;
    struct mono_time next_frame;
    struct mono_time first_frame;
    struct mono_time answer_at; /* agent, ns 0: not ringing */
    struct mono_time leave_by;  /* ns 0: not leaving */
    bool is_talking;
    bool is_over;
    bool is_muted_by_peer; /* on hold: we do not send */
    int status;
    bool is_ended_by_peer;
    bool was_established;
    size_t keys_told;      /* "key" events written */
    size_t keys_signed;    /* keys whose event or INFO is done */
    unsigned event_frames; /* telephone-event packets of the key that is down */
    bool was_keying;
    uint64_t frames_lost;
    uint32_t dice;
};

/* ------------------------------------------------------------------ session */

static bool agree(const struct phone *phone, const struct phone_sdp *sdp, enum phone_law *law)
{
    for (size_t l = 0; l < phone->options->law_count; l++)
        if (phone->options->laws[l] == PHONE_PCMU ? sdp->has_pcmu : sdp->has_pcma) {
            /* The peer's order decides when it allows more than one of ours. */
            *law = phone->options->law_count == 2 && sdp->has_pcma && sdp->has_pcmu ? sdp->first
                                                                                    : phone->options->laws[l];
            return true;
        }
    return false;
}

static bool aim(struct phone *phone, const char *text, size_t length)
{
    struct phone_sdp sdp;
    enum phone_law law;
    if (text == NULL || phone_sdp_parse(&sdp, text, length) != OK || !agree(phone, &sdp, &law))
        return false;
    phone->is_muted_by_peer = !sdp.is_receiving || sdp.rtp.sin_port == 0;
    if (media_line_aim(phone->media, &sdp.rtp, law, phone->options->event_type < 0 ? -1 : sdp.event_type) !=
        OK)
        return false;
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &sdp.rtp.sin_addr, host, sizeof host);
    phone_event("media", json_pack("{s:s,s:i,s:s,s:i}", "remote", host, "port", (int)ntohs(sdp.rtp.sin_port),
                                   "law", law == PHONE_PCMU ? "pcmu" : "pcma", "event_type", sdp.event_type));
    return true;
}

static void write_sdp(const struct phone *phone, char *out)
{
    struct sockaddr_in rtp = media_line_address(phone->media);
    phone_sdp_write(out, &rtp, phone->options->laws, phone->options->law_count, phone->options->event_type,
                    phone->options->ptime_ms, 1);
}

static void start_talking(struct phone *phone)
{
    phone->is_talking = true;
    phone->was_established = true;
    phone->first_frame = phone->next_frame = mono_now();
    phone_event("answered", json_pack("{s:I}", "sample0_mono_ns",
                                      (json_int_t)(phone->first_frame.ns -
                                                   (int64_t)phone->options->ptime_ms * NS_PER_MS)));
}

static void offered_h(void *owner, const char *sdp, size_t length)
{
    struct phone *phone = owner;
    phone_event("offered", NULL);
    if (!aim(phone, sdp, length)) {
        if (sip_line_reject(phone->line, 488) != OK)
            phone->is_over = true;
        return;
    }
    if (sip_line_ring(phone->line) == OK)
        phone->answer_at = mono_add_ms(mono_now(), phone->options->ring_ms);
}

static void ringing_h(void *owner, int status)
{
    (void)owner;
    phone_event("ringing", json_pack("{s:i}", "status", status));
}

static void established_h(void *owner, const char *sdp, size_t length)
{
    struct phone *phone = owner;
    if (phone->options->kind == PHONE_CALLER && !aim(phone, sdp, length)) {
        phone_event("error", json_pack("{s:s}", "reason", "no common audio"));
        if (sip_line_hang_up(phone->line) != OK)
            phone->is_over = true;
        return;
    }
    start_talking(phone);
}

static void changed_h(void *owner, const char *sdp, size_t length)
{
    if (!aim(owner, sdp, length))
        phone_event("error", json_pack("{s:s}", "reason", "no common audio in the new offer"));
}

static void info_h(void *owner, const char *content_type, const char *body, size_t length)
{
    (void)owner;
    (void)body;
    phone_event("info", json_pack("{s:s,s:i}", "content_type", content_type, "bytes", (int)length));
}

static void ended_h(void *owner, int status, bool is_by_peer)
{
    struct phone *phone = owner;
    phone->is_talking = false;
    phone->status = status;
    phone->is_ended_by_peer = is_by_peer;
    /* The answer to the peer's BYE may have to be sent again: a moment is left for that. */
    phone->leave_by = mono_add_ms(mono_now(), is_by_peer ? 300 : 0);
    phone_event("ended", json_pack("{s:i,s:b}", "status", status, "by_peer", is_by_peer));
}

/* ------------------------------------------------------------------ sending */

static bool keep_sent(struct phone *phone, const int16_t *samples, size_t count)
{
    if (phone->sent_count + count > SENT_MAX)
        return false;
    if (phone->sent_count + count > phone->sent_capacity) {
        size_t capacity = phone->sent_capacity + 8000 * 60;
        int16_t *larger = realloc(phone->sent, capacity * sizeof *larger);
        if (larger == NULL)
            return false;
        phone->sent = larger;
        phone->sent_capacity = capacity;
    }
    memcpy(phone->sent + phone->sent_count, samples, count * sizeof *samples);
    phone->sent_count += count;
    return true;
}

static bool is_lost(struct phone *phone)
{
    phone->dice = phone->dice * 1664525U + 1013904223U;
    bool lost = (phone->dice >> 8) % GAIN_PERCENT < phone->options->loss_percent;
    phone->frames_lost += lost;
    return lost;
}

static void send_info_key(struct phone *phone, uint8_t key)
{
    char body[64];
    snprintf(body, sizeof body, "Signal=%c\r\nDuration=%u\r\n", key_label_letter(key),
             phone->options->voice.on_ms);
    if (sip_line_info(phone->line, "application/dtmf-relay", body) != OK)
        phone_event("error", json_pack("{s:s}", "reason", "INFO could not be sent"));
    memset(body, 0, sizeof body);
}

/* Telephone-event packets and INFO of the key that is down or was just let go. True while one is down. */
static bool sign_key(struct phone *phone, size_t samples)
{
    size_t count;
    const struct voice_key *keys = voice_keys(phone->voice, &count);
    unsigned ways = phone->options->voice.ways;
    if (phone->keys_signed == count || !(ways & (VOICE_EVENT | VOICE_INFO)))
        return false;
    const struct voice_key *key = &keys[phone->keys_signed];
    bool is_down = key->end == 0;
    phone->event_frames++;
    unsigned duration = phone->event_frames * (unsigned)samples;
    if (ways & VOICE_EVENT)
        for (int i = 0; i < (is_down ? 1 : EVENT_ENDS); i++)
            media_line_send_event(phone->media, key->key, duration, phone->event_frames == 1 && i == 0,
                                  !is_down, is_lost(phone));
    if (!is_down) {
        if (ways & VOICE_INFO)
            send_info_key(phone, key->key);
        phone->keys_signed++;
        phone->event_frames = 0;
    }
    return true;
}

static void tell_keys(struct phone *phone)
{
    size_t count;
    const struct voice_key *keys = voice_keys(phone->voice, &count);
    for (; phone->keys_told < count; phone->keys_told++)
        phone_event("key", json_pack("{s:I,s:I}", "number", (json_int_t)phone->keys_told + 1, "onset_sample",
                                     (json_int_t)keys[phone->keys_told].onset));
    bool is_keying = !voice_is_idle(phone->voice);
    if (phone->was_keying && !is_keying)
        phone_event("keyed", json_pack("{s:I}", "count", (json_int_t)count));
    phone->was_keying = is_keying;
}

static void send_frame(struct phone *phone)
{
    int16_t frame[VOICE_FRAME_MAX];
    int16_t heard[VOICE_FRAME_MAX];
    size_t count = phone->options->ptime_ms * 8;
    voice_frame(phone->voice, frame, count);
    bool is_signing = sign_key(phone, count);
    bool is_silent = phone->is_muted_by_peer || (is_signing && phone->options->voice.ways == VOICE_EVENT);
    media_line_send(phone->media, frame, count, heard, !is_silent && is_lost(phone), is_silent);
    if (!keep_sent(phone, heard, count))
        phone_is_stopped = 1;
    tell_keys(phone);
}

static void send_due(struct phone *phone)
{
    for (int i = 0; i < BURST_MAX && phone->is_talking && mono_reached(mono_now(), phone->next_frame); i++) {
        send_frame(phone);
        phone->next_frame = mono_add_ms(phone->next_frame, phone->options->ptime_ms);
    }
}

/* ------------------------------------------------------------------ orders */

static void press_h(void *owner, uint8_t key)
{
    struct phone *phone = owner;
    if (voice_press(phone->voice, key) != OK)
        phone_event("error", json_pack("{s:s}", "reason", "too many keys"));
}

static void say_h(void *owner, const char *path)
{
    char reason[AUDIO_REASON_BYTES];
    if (voice_say(((struct phone *)owner)->voice, path, reason) != OK)
        phone_event("error", json_pack("{s:s}", "reason", reason));
}

static void hang_up_h(void *owner)
{
    struct phone *phone = owner;
    if (phone->leave_by.ns != 0)
        return;
    phone->is_talking = false;
    phone->leave_by = mono_add_ms(mono_now(), GOODBYE_MS);
    if (sip_line_hang_up(phone->line) != OK)
        phone->is_over = true;
}

static void unknown_h(void *owner)
{
    (void)owner;
    phone_event("error", json_pack("{s:s}", "reason", "not an order"));
}

/* ------------------------------------------------------------------ life */

static enum err open_lines(struct phone *phone)
{
    const struct sip_line_handlers handlers = {phone,     offered_h, ringing_h, established_h,
                                               changed_h, info_h,    ended_h};
    struct sockaddr_in rtp = phone->options->bind;
    rtp.sin_port = htons((uint16_t)phone->options->rtp_port);
    enum err err = sip_line_new(&phone->line, &phone->options->bind, &handlers);
    if (err != OK) {
        fprintf(stderr, "tonegate-phone: the SIP port cannot be used\n");
        return err;
    }
    err = media_line_new(&phone->media, &rtp, phone->options->event_type);
    if (err != OK)
        fprintf(stderr, "tonegate-phone: no RTP port can be used\n");
    return err;
}

static enum err open_voice(struct phone *phone)
{
    char reason[AUDIO_REASON_BYTES];
    enum err err = voice_new(&phone->voice, &phone->options->voice);
    for (size_t s = 0; err == OK && s < phone->options->speech_count; s++) {
        err = voice_say(phone->voice, phone->options->speech[s], reason);
        if (err != OK)
            fprintf(stderr,
                    "tonegate-phone: %s (Debian: asterisk-core-sounds-en-wav; or --speech FILE, --mute)\n",
                    reason);
    }
    return err;
}

static void answer_if_due(struct phone *phone)
{
    if (phone->answer_at.ns == 0 || !mono_reached(mono_now(), phone->answer_at))
        return;
    char sdp[PHONE_SDP_BYTES];
    write_sdp(phone, sdp);
    phone->answer_at.ns = 0;
    if (sip_line_answer(phone->line, sdp) != OK)
        phone->is_over = true;
}

static int wait_ms(const struct phone *phone)
{
    int64_t ms = sip_line_wait_ms(phone->line);
    if (phone->is_talking) {
        int64_t until = (phone->next_frame.ns - mono_now().ns + NS_PER_MS - 1) / NS_PER_MS;
        ms = until < ms ? until : ms;
    }
    return ms < 0 ? 0 : (int)ms;
}

static void live(struct phone *phone)
{
    const struct phone_order_handlers handlers = {phone, press_h, say_h, hang_up_h, unknown_h};
    while (!phone->is_over && !(phone->leave_by.ns != 0 && mono_reached(mono_now(), phone->leave_by))) {
        struct pollfd fds[] = {
            {.fd = sip_line_fd(phone->line), .events = POLLIN},
            {.fd = media_line_fd(phone->media), .events = POLLIN},
            {.fd = phone->orders.is_over ? -1 : STDIN_FILENO, .events = POLLIN},
        };
        poll(fds, 3, wait_ms(phone));
        media_line_receive(phone->media);
        sip_line_run(phone->line);
        answer_if_due(phone);
        send_due(phone);
        if (fds[2].revents != 0)
            phone_orders_read(&phone->orders, STDIN_FILENO, &handlers);
        if (phone_is_stopped)
            hang_up_h(phone);
    }
}

static bool write_labels(const struct phone *phone)
{
    size_t count;
    const struct voice_key *keys = voice_keys(phone->voice, &count);
    FILE *file = fopen(phone->options->labels_path, "w");
    if (file == NULL)
        return false;
    fprintf(file, "{\"sample_rate\":8000,\"keys\":[");
    bool is_first = true;
    for (size_t k = 0; k < count; k++)
        if (keys[k].end > keys[k].onset && keys[k].end <= phone->sent_count) {
            fprintf(file, "%s\n{\"key\":\"%c\",\"onset_sample\":%llu,\"end_sample\":%llu,\"tone\":%s}",
                    is_first ? "" : ",", key_label_letter(keys[k].key), (unsigned long long)keys[k].onset,
                    (unsigned long long)keys[k].end,
                    phone->options->voice.ways & VOICE_TONE ? "true" : "false");
            is_first = false;
        }
    fprintf(file, "]}\n");
    return fclose(file) == 0;
}

static bool write_files(const struct phone *phone)
{
    const struct phone_options *options = phone->options;
    const struct rtp_tape *tape = media_line_tape(phone->media);
    const short *sent = phone->sent;
    const short *heard = tape->samples;
    const char *heard_path = options->kind == PHONE_CALLER ? options->heard_path : options->record_path;
    char reason[AUDIO_REASON_BYTES] = "the labels could not be written";
    bool is_good = true;
    if (options->kind == PHONE_CALLER && options->record_path != NULL)
        is_good &= audio_write(options->record_path, &sent, 1, phone->sent_count, reason) == OK;
    if (heard_path != NULL)
        is_good &= audio_write(heard_path, &heard, 1, tape->sample_count, reason) == OK;
    if (options->labels_path != NULL)
        is_good &= write_labels(phone);
    if (!is_good)
        fprintf(stderr, "tonegate-phone: %s\n", reason);
    return is_good;
}

static void tell_summary(const struct phone *phone)
{
    const struct sip_line_counts *counts = sip_line_counts(phone->line);
    size_t keys;
    voice_keys(phone->voice, &keys);
    phone_event("summary",
                json_pack("{s:s,s:i,s:b,s:b,s:I,s:I,s:I,s:I,s:o,s:{s:i,s:i,s:i,s:i,s:i,s:i}}", "phone",
                          phone->options->kind == PHONE_CALLER ? "caller" : "agent", "status", phone->status,
                          "by_peer", phone->is_ended_by_peer, "established", phone->was_established,
                          "sample0_mono_ns",
                          (json_int_t)(phone->first_frame.ns - (int64_t)phone->options->ptime_ms * NS_PER_MS),
                          "samples_sent", (json_int_t)phone->sent_count, "packets_dropped",
                          (json_int_t)phone->frames_lost, "keys", (json_int_t)keys, "hears",
                          phone_tape_json(media_line_tape(phone->media)), "sip", "infos_received",
                          (int)counts->infos_received, "infos_answered", (int)counts->infos_answered,
                          "infos_refused", (int)counts->infos_refused, "reinvites", (int)counts->reinvites,
                          "unparsable", (int)counts->unparsable, "strangers", (int)counts->strangers));
}

static enum err place_call(struct phone *phone)
{
    const struct phone_options *options = phone->options;
    char sdp[PHONE_SDP_BYTES];
    write_sdp(phone, sdp);
    return sip_line_call(phone->line, &options->to, options->from_user, options->to_user, options->headers,
                         sdp);
}

/* The terminal hands over each key as it is typed, and shows none. */
static bool start_keypad(struct termios *before)
{
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, before) != 0)
        return false;
    raw = *before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    return tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

int phone_call_run(const struct phone_options *options)
{
    struct phone *phone = calloc(1, sizeof *phone);
    struct termios terminal;
    int code = 2;
    if (phone == NULL)
        return code;
    phone->options = options;
    phone->dice = options->voice.seed + 1;
    phone->orders.is_keypad = options->is_keypad;
    bool has_terminal = options->is_keypad && start_keypad(&terminal);
    if (open_voice(phone) != OK || open_lines(phone) != OK)
        goto out;
    struct sockaddr_in sip = sip_line_address(phone->line);
    phone_event("ready", json_pack("{s:i,s:i}", "sip_port", (int)ntohs(sip.sin_port), "rtp_port",
                                   (int)ntohs(media_line_address(phone->media).sin_port)));
    if (options->kind == PHONE_CALLER && place_call(phone) != OK)
        goto out;
    live(phone);
    code = write_files(phone) ? 0 : 2;
    if (code == 0 && (!phone->was_established || phone->status != 200))
        code = 1;
    tell_summary(phone);
out:
    if (has_terminal)
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
    voice_free(phone->voice);
    media_line_free(phone->media);
    sip_line_free(phone->line);
    free(phone->sent);
    free(phone);
    return code;
}
