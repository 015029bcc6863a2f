/* Inside of the guard: a message cut into lines, and the grammar of the headers we use. Nothing here is for others. */
#ifndef TONEGATE_PROXY_SIP_SIP_GUARD_PRIV_H
#define TONEGATE_PROXY_SIP_SIP_GUARD_PRIV_H

#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The budget test compiles the guard with a counter of character reads: work is counted, not timed. */
#ifdef SIP_GUARD_COUNT_READS
extern size_t sip_guard_reads;
#define SIP_GUARD_READ() (sip_guard_reads++)
#else
#define SIP_GUARD_READ() ((void)0)
#endif

struct sip_text { /* a piece of the message, never terminated */
    const char *at;
    size_t length;
};

struct sip_cursor {
    const char *at;
    const char *end;
};

static inline struct sip_cursor sip_cursor_of(struct sip_text text)
{
    return (struct sip_cursor){text.at, text.at + text.length};
}

/* -1 at the end. */
static inline int sip_cursor_peek(const struct sip_cursor *cursor)
{
    SIP_GUARD_READ();
    return cursor->at < cursor->end ? (unsigned char)*cursor->at : -1;
}

enum sip_header {
    SIP_HEADER_OTHER,
    SIP_HEADER_VIA,
    SIP_HEADER_FROM,
    SIP_HEADER_TO,
    SIP_HEADER_CALL_ID,
    SIP_HEADER_CSEQ,
    SIP_HEADER_MAX_FORWARDS,
    SIP_HEADER_CONTENT_LENGTH,
    SIP_HEADER_CONTENT_TYPE,
    SIP_HEADER_CONTACT,
    SIP_HEADER_ROUTE,
    SIP_HEADER_RECORD_ROUTE,
    SIP_HEADER_EXPIRES,
    SIP_HEADER_SESSION_EXPIRES,
    SIP_HEADER_MIN_SE,
    SIP_HEADERS,
};

struct sip_line {
    enum sip_header header;
    struct sip_text value; /* blanks around it cut off, folds inside it left */
};

struct sip_block {
    struct sip_text start;
    struct sip_line lines[LIMIT_SIP_HEADERS];
    size_t line_count;
    size_t bytes;  /* start line to empty line, both included */
    size_t commas; /* lists and parameters are what the library is quadratic in */
    size_t semicolons;
    int fault_status;    /* 0: every line is well formed */
    const char *fault;   /* the first one */
    bool is_start_fault; /* the start line is too long */
};

/* Cuts start line and headers. false when there is no start line at all. */
bool sip_block_split(struct sip_text message, struct sip_block *block);

/* The first line of a kind, NULL when there is none; *count (may be NULL): how many there are. */
const struct sip_line *sip_block_find(const struct sip_block *block, enum sip_header header, size_t *count);

/* Grammar. Each returns NULL when the text is well formed, else a constant that says what is wrong and where that is
 * written. */

struct sip_via_facts {
    size_t count;              /* values in this header */
    struct sip_text branch;    /* of the first value; at NULL: none */
    struct sip_text host;      /* of the first value */
    const char *first_end;     /* end of the first value */
    const char *rport_end;     /* behind an rport without value in the first value; NULL: none */
    bool has_received;         /* in the first value */
    bool is_of_other_protocol; /* one of them is not SIP/2.0 */
};
const char *sip_grammar_via(struct sip_text value, struct sip_via_facts *facts);

struct sip_address_facts {
    size_t count;
    struct sip_text tag; /* of the first address; at NULL: none */
};
const char *sip_grammar_addresses(struct sip_text value, struct sip_address_facts *facts);

const char *sip_grammar_uri(struct sip_text uri);
const char *sip_grammar_call_id(struct sip_text value);
const char *sip_grammar_cseq(struct sip_text value, struct sip_text *method);

/* Digits only; larger than most is ERR to the caller: false. */
bool sip_grammar_number(struct sip_text value, uint64_t most, uint64_t *number);

bool sip_is_token_char(int c);
bool sip_is_blank(int c);                                 /* SP, HTAB and the CR LF of a fold */
bool sip_text_is(struct sip_text text, const char *word); /* case does not matter */

#endif
