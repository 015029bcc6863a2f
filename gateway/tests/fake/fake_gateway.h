/* A scripted gateway: a TLS server in a child process that answers in one of many wrong ways. It counts, in shared
 * memory, connections, requests, and requests whose body held a card number, so that a test can say who got the card. */
#ifndef TONEGATE_GATEWAY_TESTS_FAKE_GATEWAY_H
#define TONEGATE_GATEWAY_TESTS_FAKE_GATEWAY_H

#include <stddef.h>
#include <sys/types.h>

enum fake_behaviour {
    FAKE_CLOSED_PORT,          /* nobody listens */
    FAKE_BLACK_HOLE,           /* the backlog is full: a connection never comes about */
    FAKE_NO_TLS,               /* accepts, says nothing, not even the handshake */
    FAKE_OLD_TLS,              /* TLS 1.1 at most */
    FAKE_STRANGER,             /* a certificate of an authority nobody trusts */
    FAKE_WRONG_NAME,           /* a trusted certificate for another host */
    FAKE_EXPIRED,              /* a trusted certificate of yesterday */
    FAKE_SILENCE,              /* takes the request and says nothing */
    FAKE_TRICKLE,              /* a right answer, one byte every 100 ms */
    FAKE_RESET_AT,             /* a right answer, reset after `argument` bytes, one more with each request */
    FAKE_CLOSE_AT,             /* the same with an orderly end */
    FAKE_GARBAGE,              /* 200, no JSON */
    FAKE_HTML,                 /* 200, a page */
    FAKE_TRUNCATED_JSON,       /* 200, JSON that ends early, the length right */
    FAKE_DEEP_JSON,            /* 200, arrays in arrays */
    FAKE_HUGE_HEADER,          /* 10 MB of one header */
    FAKE_MANY_HEADERS,         /* ten thousand small ones */
    FAKE_HUGE_BODY,            /* 10 MB, length told */
    FAKE_ENDLESS_BODY,         /* chunks without end */
    FAKE_GZIP_BOMB,            /* compressed though nobody asked: 10 MB of zeros in 10 kB */
    FAKE_NOT_HTTP,             /* a line of another protocol */
    FAKE_HTTP_09,              /* a body without a head */
    FAKE_REDIRECT,             /* 302, 307 and 308 in turn, to another port of this fake that counts too */
    FAKE_ECHO,                 /* sends the card back in every field it can */
    FAKE_RIGHT,                /* a right answer */
    FAKE_TWICE,                /* a right answer and, unasked, the same again */
    FAKE_LATE,                 /* a right answer after `argument` ms */
    FAKE_DROPS_KEPT,           /* right, then closes the kept connection without a word */
    FAKE_STATUS,               /* an empty answer with status `argument` */
    FAKE_FAULTS,               /* the faults end here; what follows behaves */
    FAKE_PAYPAL = FAKE_FAULTS, /* login, two rounds, order; the first `argument` access tokens are refused */
    FAKE_SCRIPT,               /* see fake_start_script() */
    FAKE_WANTS_CERTIFICATE,    /* right, to a client with a certificate of the same authority */
    FAKE_BEHAVIOURS
};
const char *fake_behaviour_name(enum fake_behaviour behaviour);

struct fake_counts {
    unsigned connections;
    unsigned requests;
    unsigned cards;           /* requests with a card number in them */
    unsigned redirect_visits; /* connections to where the redirect points */
    unsigned logins;
    char last_head[4096]; /* of the request that came last, terminated */
};

struct fake {
    pid_t pid;
    int listener;
    int redirect_listener;
    char url[64];
    volatile struct fake_counts *counts; /* shared with the child */
    const char *script;
};

/* certificates: folder with server.pem and server.key. The answers are to a TOKENISE of Stripe's. */
void fake_start(struct fake *fake, enum fake_behaviour behaviour, unsigned argument,
                const char *certificates);

/* One letter per request, the last for all that follow: r a right answer, d the connection dropped after the request,
 * s silence, e the card sent back, 4 401, 5 503. */
void fake_start_script(struct fake *fake, const char *script, const char *certificates);

/* The request that came last, as it came: a copy in a buffer of this function's. */
const char *fake_last_head(const struct fake *fake);

void fake_stop(struct fake *fake);

/* Bytes of the right answer: the positions that FAKE_RESET_AT can take. */
size_t fake_right_answer_length(void);

#endif
