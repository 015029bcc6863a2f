/* What a test phone was told on its command line. Keys are never told there: they come over standard input. */
#ifndef TONEGATE_BENCH_PHONES_PHONE_OPTIONS_H
#define TONEGATE_BENCH_PHONES_PHONE_OPTIONS_H

#include "bench/phones/phone_sdp.h"
#include "bench/phones/voice.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#define PHONE_SPEECH_MAX   64
#define PHONE_NAME_BYTES   64
#define PHONE_HEADER_BYTES 768

enum phone_kind { PHONE_CALLER, PHONE_AGENT, PHONE_RECORDER };

struct phone_options {
    enum phone_kind kind;
    struct sockaddr_in bind; /* address, and SIP port (0: any) */
    unsigned rtp_port;       /* 0: any */
    struct sockaddr_in to;   /* caller */
    char to_user[PHONE_NAME_BYTES];
    char from_user[PHONE_NAME_BYTES];
    char headers[PHONE_HEADER_BYTES]; /* of the INVITE, each with CRLF */
    enum phone_law laws[2];
    size_t law_count;
    int event_type;
    unsigned ptime_ms;
    unsigned ring_ms;
    unsigned loss_percent;
    const char *speech[PHONE_SPEECH_MAX];
    size_t speech_count;
    bool is_mute; /* no speech at all */
    struct voice_options voice;
    const char *record_path; /* caller: what it sent; agent, recorder: what it heard */
    const char *heard_path;  /* caller: what it heard */
    const char *labels_path;
    bool is_keypad;
};

/* False: usage or the reason was printed on standard error. */
bool phone_options_parse(struct phone_options *options, int argc, char **argv);

#endif
