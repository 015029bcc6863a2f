/* Errors of every room. Zero is success, errors are negative; err_str() gives a constant text for people.
 *
 * Three kinds, never mixed: input errors (returned and counted), operating errors (returned, and one rate-limited log
 * line says what to do), programmer errors (ASSERT, live in release: the role dies, the mask stays). */
#ifndef TONEGATE_BASE_ERR_H
#define TONEGATE_BASE_ERR_H

enum err {
    OK = 0,
    ERR_RANGE = -1,       /* a value outside what the header allows */
    ERR_ORDER = -2,       /* legal, but not now */
    ERR_FULL = -3,        /* a pool, queue or buffer has no room */
    ERR_EMPTY = -4,       /* nothing there (yet) */
    ERR_SYNTAX = -5,      /* input does not follow its grammar */
    ERR_VERSION = -6,     /* input of another version */
    ERR_LENGTH = -7,      /* input longer or shorter than its type */
    ERR_REFUSED = -8,     /* understood and not allowed */
    ERR_UNSUPPORTED = -9, /* understood and not built */
    ERR_NOT_FOUND = -10,  /* no such call, capture, file */
    ERR_EXISTS = -11,     /* there already */
    ERR_MEMORY = -12,     /* allocation failed */
    ERR_SYSTEM = -13,     /* a system call failed; errno says why */
    ERR_PEER_GONE = -14,  /* the other end of a link or connection is closed */
    ERR_TIMEOUT = -15,    /* no answer in time */
    ERR_TLS = -16,        /* certificate, key or handshake */
    ERR_STORE = -17,      /* the database refused or failed */
    ERR_LAST = ERR_STORE
};

#define MUST_USE __attribute__((warn_unused_result))

/* Never NULL; "unknown error" for a value outside the enum. Any thread. */
const char *err_str(enum err err);

/* Live in release builds. Says file, line and the condition's text, nothing of the values, and aborts. */
_Noreturn void assert_failed(const char *file, int line, const char *condition);
#define ASSERT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            assert_failed(__FILE__, __LINE__, #condition);                                                   \
    } while (0)

#endif
