#include "proxy/sip/sip_guard.h"
#include "proxy/sip/sip_guard_priv.h"

#include <string.h>

struct check {
    struct sip_block block;
    bool is_request;
    struct sip_text method;
    int status; /* of the first fault, 0: none */
    const char *reason;
};

static void fault(struct check *check, int status, const char *reason)
{
    if (check->reason)
        return;
    check->status = status;
    check->reason = reason;
}

/* Every method of the IANA registry; which of them we serve is the B2BUA's to say (405). */
static bool method_is_known(struct sip_text method)
{
    static const char *const METHODS[] = {
        "INVITE",   "ACK",       "BYE",    "CANCEL", "OPTIONS", "INFO",    "UPDATE",
        "REGISTER", "SUBSCRIBE", "NOTIFY", "REFER",  "MESSAGE", "PUBLISH", "PRACK",
    };
    for (size_t i = 0; i < sizeof(METHODS) / sizeof(METHODS[0]); i++)
        if (strlen(METHODS[i]) == method.length && memcmp(METHODS[i], method.at, method.length) == 0)
            return true;
    return false;
}

static bool text_equal(struct sip_text a, struct sip_text b)
{
    return a.length == b.length && memcmp(a.at, b.at, a.length) == 0;
}

/* "SIP/", digits, a dot, digits and nothing else. */
static bool version_is_well_formed(struct sip_text version)
{
    struct sip_text name = {version.at, 4};
    if (version.length < 7 || !sip_text_is(name, "SIP/"))
        return false;
    const char *dot = memchr(version.at, '.', version.length);
    uint64_t major = 0;
    uint64_t minor = 0;
    return dot && dot > version.at + 4 &&
           sip_grammar_number((struct sip_text){version.at + 4, (size_t)(dot - version.at - 4)}, 999,
                              &major) &&
           sip_grammar_number((struct sip_text){dot + 1, (size_t)(version.at + version.length - dot - 1)},
                              999, &minor);
}

static struct sip_text take_word(struct sip_text *rest)
{
    const char *space = rest->length ? memchr(rest->at, ' ', rest->length) : NULL;
    struct sip_text word = {rest->at, space ? (size_t)(space - rest->at) : rest->length};
    size_t used = word.length + (space ? 1 : 0);
    rest->at += used;
    rest->length -= used;
    return word;
}

static void check_request_uri(struct check *check, struct sip_text uri)
{
    const char *colon = memchr(uri.at, ':', uri.length);
    const char *malformed = sip_grammar_uri(uri);
    if (!malformed && memchr(uri.at, '?', uri.length) && !memchr(uri.at, '@', uri.length))
        malformed = "headers in the Request-URI (RFC 3261 §19.1.1)";
    const char *host = memchr(uri.at, '@', uri.length);
    if (!malformed && host && memchr(host, '?', (size_t)(uri.at + uri.length - host)))
        malformed = "headers in the Request-URI (RFC 3261 §19.1.1)";
    if (malformed) {
        fault(check, 400, malformed);
        return;
    }
    struct sip_text scheme = {uri.at, (size_t)(colon - uri.at)};
    if (sip_text_is(scheme, "sips"))
        fault(check, 416, "sips needs TLS, which is not here yet (RFC 3261 §21.4.14)");
    else if (!sip_text_is(scheme, "sip") && !sip_text_is(scheme, "tel"))
        fault(check, 416, "unknown scheme in the Request-URI (RFC 3261 §21.4.14)");
}

/* Method SP Request-URI SP SIP-Version (RFC 3261 §7.1). false: this is no SIP request at all. */
static bool check_request_line(struct check *check)
{
    struct sip_text rest = check->block.start;
    check->method = take_word(&rest);
    for (size_t i = 0; i < check->method.length; i++)
        if (!sip_is_token_char((unsigned char)check->method.at[i]))
            return false;
    if (!check->method.length || !rest.length)
        return false;
    struct sip_text uri = take_word(&rest);
    if (check->block.is_start_fault)
        fault(check, 414, "start line longer than LIMIT_SIP_LINE_BYTES");
    if (!uri.length || !version_is_well_formed(rest)) {
        fault(check, 400, "not method, URI and version with one SP between (RFC 3261 §7.1)");
        return true;
    }
    if (!sip_text_is(rest, "SIP/2.0"))
        fault(check, 505, "another version of SIP (RFC 3261 §21.5.6)");
    if (!method_is_known(check->method))
        fault(check, 501, "method that nobody has registered (RFC 3261 §21.5.2)");
    check_request_uri(check, uri);
    return true;
}

/* SIP-Version SP 3DIGIT SP Reason-Phrase (RFC 3261 §7.2). */
static void check_status_line(struct check *check)
{
    struct sip_text rest = check->block.start;
    struct sip_text version = take_word(&rest);
    struct sip_text code = {rest.at, 3};
    uint64_t status = 0;
    if (!sip_text_is(version, "SIP/2.0"))
        fault(check, 505, "another version of SIP (RFC 3261 §7.2)");
    bool is_code = rest.length >= 3 && sip_grammar_number(code, 699, &status) && status >= 100 &&
                   (rest.length == 3 || rest.at[3] == ' ');
    if (!is_code)
        fault(check, 400, "status is not 100 to 699 (RFC 3261 §7.2)");
    if (check->block.is_start_fault)
        fault(check, 400, "start line longer than LIMIT_SIP_LINE_BYTES");
}

static bool start_is_status_line(struct sip_text start)
{
    struct sip_text name = {start.at, 4};
    return start.length >= 4 && sip_text_is(name, "SIP/");
}

/* Headers that stand once (RFC 3261 §7.3.1, table in §20). */
static void check_single(struct check *check)
{
    static const struct {
        enum sip_header header;
        bool is_required;
        const char *missing;
        const char *twice;
    } SINGLE[] = {
        {SIP_HEADER_FROM, true, "no From (RFC 3261 §8.1.1)", "From twice (RFC 3261 §20.20)"},
        {SIP_HEADER_TO, true, "no To (RFC 3261 §8.1.1)", "To twice (RFC 3261 §20.39)"},
        {SIP_HEADER_CALL_ID, true, "no Call-ID (RFC 3261 §8.1.1)", "Call-ID twice (RFC 3261 §20.8)"},
        {SIP_HEADER_CSEQ, true, "no CSeq (RFC 3261 §8.1.1)", "CSeq twice (RFC 3261 §20.16)"},
        {SIP_HEADER_CONTENT_LENGTH, false, NULL, "Content-Length twice (RFC 3261 §20.14)"},
        {SIP_HEADER_MAX_FORWARDS, false, NULL, "Max-Forwards twice (RFC 3261 §20.22)"},
        {SIP_HEADER_CONTENT_TYPE, false, NULL, "Content-Type twice (RFC 3261 §20.15)"},
        {SIP_HEADER_EXPIRES, false, NULL, "Expires twice (RFC 3261 §20.19)"},
        {SIP_HEADER_SESSION_EXPIRES, false, NULL, "Session-Expires twice (RFC 4028 §4)"},
        {SIP_HEADER_MIN_SE, false, NULL, "Min-SE twice (RFC 4028 §5)"},
    };
    for (size_t i = 0; i < sizeof(SINGLE) / sizeof(SINGLE[0]); i++) {
        size_t count = 0;
        sip_block_find(&check->block, SINGLE[i].header, &count);
        if (SINGLE[i].is_required && !count)
            fault(check, 400, SINGLE[i].missing);
        if (count > 1)
            fault(check, 400, SINGLE[i].twice);
    }
}

static void check_vias(struct check *check)
{
    size_t via_count = 0;
    for (size_t i = 0; i < check->block.line_count; i++) {
        const struct sip_line *line = &check->block.lines[i];
        struct sip_via_facts facts;
        if (line->header != SIP_HEADER_VIA)
            continue;
        const char *malformed = sip_grammar_via(line->value, &facts);
        if (malformed)
            fault(check, 400, malformed);
        if (facts.is_of_other_protocol)
            fault(check, 400, "Via of another protocol (RFC 3261 §20.42)");
        if (!via_count && facts.branch.at && sip_text_is(facts.branch, "z9hG4bK"))
            fault(check, 400, "branch is the magic cookie and no more (RFC 3261 §8.1.1.7)");
        via_count += facts.count;
    }
    if (!via_count)
        fault(check, 400, "no Via (RFC 3261 §8.1.1)");
    if (via_count > LIMIT_SIP_VIAS)
        fault(check, 513, "more Vias than LIMIT_SIP_VIAS");
}

static const char *address_fault(const struct sip_line *line)
{
    struct sip_address_facts facts;
    bool is_single = line->header == SIP_HEADER_FROM || line->header == SIP_HEADER_TO;
    if (line->header == SIP_HEADER_CONTACT && sip_text_is(line->value, "*"))
        return NULL;
    const char *malformed = sip_grammar_addresses(line->value, &facts);
    if (!malformed && is_single && facts.count != 1)
        malformed = "more than one address in From or To (RFC 3261 §25.1)";
    return malformed;
}

static void check_addresses(struct check *check)
{
    for (size_t i = 0; i < check->block.line_count; i++) {
        const struct sip_line *line = &check->block.lines[i];
        switch (line->header) {
        case SIP_HEADER_FROM:
        case SIP_HEADER_TO:
        case SIP_HEADER_CONTACT:
        case SIP_HEADER_ROUTE:
        case SIP_HEADER_RECORD_ROUTE: {
            const char *malformed = address_fault(line);
            if (malformed)
                fault(check, 400, malformed);
            break;
        }
        default:
            break;
        }
    }
}

static void check_sequence(struct check *check)
{
    const struct sip_line *call_id = sip_block_find(&check->block, SIP_HEADER_CALL_ID, NULL);
    const struct sip_line *cseq = sip_block_find(&check->block, SIP_HEADER_CSEQ, NULL);
    const char *malformed = call_id ? sip_grammar_call_id(call_id->value) : NULL;
    if (malformed)
        fault(check, 400, malformed);
    if (!cseq)
        return;
    struct sip_text method = {NULL, 0};
    malformed = sip_grammar_cseq(cseq->value, &method);
    if (malformed)
        fault(check, 400, malformed);
    else if (check->is_request && !text_equal(method, check->method))
        fault(check, 400, "method in CSeq is not that of the request (RFC 3261 §8.1.1.5)");
}

static void check_max_forwards(struct check *check)
{
    const struct sip_line *line = sip_block_find(&check->block, SIP_HEADER_MAX_FORWARDS, NULL);
    uint64_t hops = 0;
    if (line && !sip_grammar_number(line->value, 255, &hops))
        fault(check, 400, "Max-Forwards is not 0 to 255 (RFC 3261 §20.22)");
}

/* How long the body is, given `rest` bytes behind the headers. */
static size_t check_body(struct check *check, size_t rest, bool is_stream)
{
    const struct sip_line *line = sip_block_find(&check->block, SIP_HEADER_CONTENT_LENGTH, NULL);
    uint64_t length = rest;
    if (!line) {
        if (is_stream)
            fault(check, 400, "no Content-Length on a stream (RFC 3261 §18.3)");
        return is_stream ? 0 : rest;
    }
    if (!sip_grammar_number(line->value, INT32_MAX, &length)) {
        fault(check, 400, "Content-Length is not a number from 0 (RFC 3261 §20.14)");
        return 0;
    }
    if (length > rest) {
        fault(check, 400, "body shorter than Content-Length (RFC 3261 §18.3)");
        return 0;
    }
    return (size_t)length;
}

/* An answer repeats these; the guard need not like what is in them. ACK is never answered (RFC 3261 §17.1.1.3). */
static bool is_answerable(const struct check *check)
{
    static const enum sip_header NEEDED[] = {SIP_HEADER_VIA, SIP_HEADER_FROM, SIP_HEADER_TO,
                                             SIP_HEADER_CALL_ID, SIP_HEADER_CSEQ};
    struct sip_text ack = {"ACK", 3};
    if (!check->is_request || text_equal(check->method, ack))
        return false;
    for (size_t i = 0; i < sizeof(NEEDED) / sizeof(NEEDED[0]); i++) {
        const struct sip_line *line = sip_block_find(&check->block, NEEDED[i], NULL);
        if (!line || !line->value.length || line->value.length > LIMIT_SIP_LINE_BYTES)
            return false;
    }
    return true;
}

static void check_headers(struct check *check)
{
    if (check->block.fault)
        fault(check, check->block.fault_status, check->block.fault);
    check_single(check);
    check_vias(check);
    check_addresses(check);
    check_sequence(check);
    check_max_forwards(check);
}

void sip_guard_check(const char *message, size_t length, bool is_stream, struct sip_guard_verdict *verdict)
{
    size_t most = is_stream ? LIMIT_SIP_TCP_BYTES : LIMIT_SIP_UDP_BYTES;
    struct sip_text view = {message, length < most ? length : most};
    struct check check = {.status = 0};
    *verdict = (struct sip_guard_verdict){.action = SIP_GUARD_DROP, .reason = "no SIP start line"};
    if (!length || !sip_block_split(view, &check.block))
        return;
    if (length > most)
        fault(&check, 513, "longer than LIMIT_SIP_UDP_BYTES or LIMIT_SIP_TCP_BYTES");
    check.is_request = !start_is_status_line(check.block.start);
    if (!check.is_request)
        check_status_line(&check);
    else if (!check_request_line(&check))
        return;
    check_headers(&check);
    verdict->is_request = check.is_request;
    verdict->header_bytes = check.block.bytes;
    verdict->body_bytes = check_body(&check, view.length - check.block.bytes, is_stream);
    verdict->reason = check.reason;
    if (!check.reason)
        verdict->action = SIP_GUARD_PASS;
    else if (is_answerable(&check))
        verdict->action = SIP_GUARD_ANSWER;
    verdict->status = verdict->action == SIP_GUARD_ANSWER ? check.status : 0;
}
