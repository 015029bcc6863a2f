/* Messages between roles: fixed-size, versioned structs over a SOCK_SEQPACKET pair.
 *
 * Each receiver has a table of permits: which message may arrive, how long it is, in which states of its subject. A
 * message that is too short, too long, of another version, unknown, or out of state is refused and counted; it never
 * reaches a handler. A role that was taken over can therefore only say legal things in a legal order. */
#ifndef TONEGATE_BASE_MSG_H
#define TONEGATE_BASE_MSG_H

#include "base/err.h"
#include "base/limits.h"

#include <stddef.h>
#include <stdint.h>

#define MSG_VERSION 1

/* The head of every message. subject is the call or capture the message is about (0: none). */
struct msg_header {
    uint16_t version;
    uint16_t type;
    uint32_t length; /* whole message, this header included */
    uint64_t subject;
};

/* Fills a header for a message struct whose first member is `header`. */
#define MSG_INIT(message, message_type, message_subject)                                                     \
    ((message)->header =                                                                                     \
         (struct msg_header){MSG_VERSION, (message_type), sizeof(*(message)), (message_subject)})

/* message is the whole struct, valid only during the call; the port wipes its buffer afterwards. What the handler
 * returns is counted as refused when it is an error. */
typedef enum err msg_handler_h(void *owner, const void *message);

struct msg_permit {
    uint16_t type;
    uint16_t length; /* sizeof the message struct */
    uint32_t states; /* bits of the subject's states in which it is legal */
    msg_handler_h *handler;
    const char *name; /* for tests and counters */
};

#define MSG_ANY_STATE  UINT32_MAX
#define MSG_NO_SUBJECT (1u << 31) /* what a state function returns for a subject nobody knows */

/* The state bit of the message's subject, asked before each dispatch; never 0. */
typedef uint32_t msg_state_h(void *owner, const struct msg_header *header);

struct msg_counts {
    uint64_t received;
    uint64_t refused_form;  /* length, version, unknown type */
    uint64_t refused_state; /* known, out of order */
    uint64_t refused_value; /* the handler returned an error */
    uint64_t send_full;     /* could not be sent: the peer does not read */
};

struct msg_port {
    int fd; /* -1: the peer is down. Owned by whoever opened the port. */
    const struct msg_permit *permits;
    size_t permit_count;
    msg_state_h *state_h; /* NULL: every message is checked against MSG_ANY_STATE */
    void *owner;
    struct msg_counts counts;
};

/* A pair of connected ends, non-blocking and close-on-exec. ERR_SYSTEM. */
MUST_USE enum err msg_pair(int ends[2]);

/* Never blocks. ERR_PEER_GONE (fd is -1 or closed at the far end), ERR_FULL (counted), ERR_SYSTEM. */
MUST_USE enum err msg_send(struct msg_port *port, const void *message);

/* Reads and dispatches at most message_max messages. OK when the port is drained for now or message_max is reached;
 * ERR_PEER_GONE when the far end closed: the caller closes fd and waits for a new link. */
MUST_USE enum err msg_receive(struct msg_port *port, size_t message_max);

/* The check and dispatch of one message that was read elsewhere; msg_receive() uses it and so do fuzz harnesses. */
MUST_USE enum err msg_dispatch(struct msg_port *port, const void *bytes, size_t length);

/* One message with up to fd_max descriptors (SCM_RIGHTS), for the supervisor's heritage. fds received are
 * close-on-exec and owned by the caller. Blocking or not as fd is. */
MUST_USE enum err msg_send_fds(int socket_fd, const void *message, size_t length, const int *fds,
                               size_t fd_count);
MUST_USE enum err msg_receive_fds(int socket_fd, void *message, size_t capacity, size_t *length, int *fds,
                                  size_t fd_max, size_t *fd_count);
#define MSG_FDS_MAX 200

#endif
