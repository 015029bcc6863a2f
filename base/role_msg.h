/* Messages on the control socket between the supervisor and a role. The supervisor's side of the wall takes three of
 * them and parses nothing else. subject is 0. */
#ifndef TONEGATE_BASE_ROLE_MSG_H
#define TONEGATE_BASE_ROLE_MSG_H

#include "base/msg.h"

enum role_msg_type {
    /* supervisor -> role */
    ROLE_HERITAGE = 0x0001, /* with descriptors */
    ROLE_LINK = 0x0002,     /* with one descriptor */
    ROLE_DRAIN = 0x0003,
    ROLE_STOP = 0x0004,
    /* role -> supervisor */
    ROLE_READY = 0x0011,
    ROLE_BEAT = 0x0012,
    ROLE_IDLE = 0x0013,
};

enum role_heritage_part { ROLE_PART_CONFIG, ROLE_PART_SOCKETS, ROLE_PART_END };

struct role_heritage_msg {
    struct msg_header header;
    uint32_t part;       /* enum role_heritage_part */
    uint32_t kind;       /* PART_SOCKETS: enum heritage */
    uint32_t total;      /* PART_SOCKETS: of this kind, over all its messages */
    uint32_t generation; /* PART_CONFIG */
};

struct role_link_msg {
    struct msg_header header;
    uint32_t peer; /* enum role */
    uint32_t reserved;
};

struct role_plain_msg { /* DRAIN, STOP, READY, BEAT, IDLE */
    struct msg_header header;
};

#endif
