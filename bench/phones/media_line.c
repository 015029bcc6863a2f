#include "bench/phones/media_line.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ortp/ortp.h>
#include <ortp/telephonyevents.h>
#include <spandsp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define EVENT_VOLUME 10
#define PORT_TRIES   64

struct media_line {
    RtpSession *session;
    RtpProfile *profile;
    struct sockaddr_in address;
    struct rtp_tape tape;
    enum phone_law law;
    int remote_event_type;
    uint32_t timestamp;
    uint32_t event_timestamp;
    uint32_t reads; /* oRTP reads its socket once per user timestamp */
};

/* Every datagram passes here before oRTP judges it. */
static int record_h(RtpTransportModifier *modifier, mblk_t *packet)
{
    struct media_line *line = modifier->data;
    enum err err =
        rtp_tape_packet(&line->tape, packet->b_rptr, (size_t)(packet->b_wptr - packet->b_rptr), mono_now());
    (void)err; /* counted on the tape */
    return (int)msgdsize(packet);
}

static int pass_h(RtpTransportModifier *modifier, mblk_t *packet)
{
    (void)modifier;
    return (int)msgdsize(packet);
}

static void destroy_h(RtpTransportModifier *modifier)
{
    ortp_free(modifier);
}

static void attach_tape(struct media_line *line)
{
    RtpTransport *rtp = NULL;
    RtpTransport *rtcp = NULL;
    RtpTransportModifier *modifier = ortp_new0(RtpTransportModifier, 1);
    modifier->data = line;
    modifier->t_process_on_receive = record_h;
    modifier->t_process_on_send = pass_h;
    modifier->t_destroy = destroy_h;
    rtp_session_get_transports(line->session, &rtp, &rtcp);
    meta_rtp_transport_append_modifier(rtp, modifier);
}

static bool bind_port(struct media_line *line, const struct sockaddr_in *address)
{
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address->sin_addr, host, sizeof host);
    int wanted = ntohs(address->sin_port);
    for (int i = 0; i < (wanted != 0 ? 1 : PORT_TRIES); i++) {
        uint16_t port = 0;
        if (wanted == 0 && getrandom(&port, sizeof port, 0) == (ssize_t)sizeof port)
            port = (uint16_t)(20000 + port % 11000 * 2);
        int number = wanted != 0 ? wanted : port;
        if (rtp_session_set_local_addr(line->session, host, number, number + 1) == 0 &&
            rtp_session_get_local_port(line->session) == number) {
            line->address = *address;
            line->address.sin_port = htons((uint16_t)number);
            return true;
        }
    }
    return false;
}

static void set_up_session(struct media_line *line, int event_type)
{
    line->profile = rtp_profile_clone_full(&av_profile);
    if (event_type >= 0)
        rtp_profile_set_payload(line->profile, event_type, payload_type_clone(&payload_type_telephone_event));
    rtp_session_set_profile(line->session, line->profile);
    rtp_session_set_scheduling_mode(line->session, FALSE);
    rtp_session_set_blocking_mode(line->session, FALSE);
    rtp_session_enable_jitter_buffer(line->session, FALSE);
    rtp_session_set_reuseaddr(line->session, FALSE);
    rtp_session_set_ssrc_changed_threshold(line->session, 0);
    rtp_session_enable_rtcp(line->session, TRUE);
}

enum err media_line_new(struct media_line **out, const struct sockaddr_in *address, int event_type)
{
    static bool is_ready;
    *out = NULL;
    if (!is_ready) {
        ortp_init();
        ortp_set_log_level_mask(NULL, ORTP_FATAL);
        is_ready = true;
    }
    struct media_line *line = calloc(1, sizeof *line);
    if (line == NULL)
        return ERR_MEMORY;
    rtp_tape_init(&line->tape, event_type);
    line->remote_event_type = -1;
    line->session = rtp_session_new(RTP_SESSION_SENDRECV);
    set_up_session(line, event_type);
    if (!bind_port(line, address)) {
        media_line_free(line);
        return ERR_SYSTEM;
    }
    attach_tape(line);
    if (getrandom(&line->timestamp, sizeof line->timestamp, 0) < 0)
        line->timestamp = 0;
    *out = line;
    return OK;
}

void media_line_free(struct media_line *line)
{
    if (line == NULL)
        return;
    if (line->session != NULL)
        rtp_session_destroy(line->session);
    if (line->profile != NULL)
        rtp_profile_destroy(line->profile);
    rtp_tape_release(&line->tape);
    free(line);
}

int media_line_fd(const struct media_line *line)
{
    return rtp_session_get_rtp_socket(line->session);
}

struct sockaddr_in media_line_address(const struct media_line *line)
{
    return line->address;
}

struct rtp_tape *media_line_tape(struct media_line *line)
{
    return &line->tape;
}

enum err media_line_aim(struct media_line *line, const struct sockaddr_in *remote, enum phone_law law,
                        int remote_event_type)
{
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &remote->sin_addr, host, sizeof host);
    line->law = law;
    line->remote_event_type = remote_event_type;
    rtp_session_set_payload_type(line->session, (int)law);
    if (remote_event_type >= 0) {
        if (rtp_profile_get_payload(line->profile, remote_event_type) == NULL)
            rtp_profile_set_payload(line->profile, remote_event_type,
                                    payload_type_clone(&payload_type_telephone_event));
        rtp_session_set_send_telephone_event_payload_type(line->session, remote_event_type);
    }
    int port = ntohs(remote->sin_port);
    return rtp_session_set_remote_addr_full(line->session, host, port, host, port + 1) == 0 ? OK : ERR_SYSTEM;
}

void media_line_receive(struct media_line *line)
{
    mblk_t *packet;
    do {
        packet = rtp_session_recvm_with_ts(line->session, line->reads);
        line->reads += 160;
        if (packet != NULL)
            freemsg(packet);
    } while (packet != NULL);
}

static void skip_sequence(struct media_line *line)
{
    rtp_session_set_seq_number(line->session, (uint16_t)(rtp_session_get_seq_number(line->session) + 1));
}

void media_line_send(struct media_line *line, const int16_t *samples, size_t count, int16_t *heard,
                     bool is_lost, bool is_silent)
{
    uint8_t payload[480];
    for (size_t i = 0; i < count; i++) {
        payload[i] = line->law == PHONE_PCMU ? linear_to_ulaw(samples[i]) : linear_to_alaw(samples[i]);
        if (heard != NULL)
            heard[i] = line->law == PHONE_PCMU ? ulaw_to_linear(payload[i]) : alaw_to_linear(payload[i]);
    }
    if (is_silent) {
        if (heard != NULL)
            memset(heard, 0, count * sizeof *heard);
    } else if (is_lost) {
        skip_sequence(line);
    } else {
        rtp_session_send_with_ts(line->session, payload, (int)count, line->timestamp);
    }
    line->timestamp += (uint32_t)count;
}

void media_line_send_event(struct media_line *line, uint8_t key, unsigned duration, bool is_first,
                           bool is_end, bool is_lost)
{
    if (line->remote_event_type < 0)
        return;
    if (is_first)
        line->event_timestamp = line->timestamp;
    if (is_lost) {
        skip_sequence(line);
        return;
    }
    mblk_t *packet = rtp_session_create_telephone_event_packet(line->session, is_first);
    if (packet == NULL)
        return;
    rtp_session_add_telephone_event(line->session, packet, key, is_end, EVENT_VOLUME, (uint16_t)duration);
    rtp_session_sendm_with_ts(line->session, packet, line->event_timestamp);
}
