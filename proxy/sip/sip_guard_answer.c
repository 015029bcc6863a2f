/* Answers to what the library shall not see: built from the raw lines, in order, with folds opened. */
#include "proxy/sip/sip_guard.h"
#include "proxy/sip/sip_guard_priv.h"

#include <stdio.h>
#include <string.h>

struct writer {
    char *at;
    size_t room; /* without the terminating zero */
    bool is_full;
};

static void write_text(struct writer *writer, const char *at, size_t length)
{
    if (writer->is_full || length > writer->room) {
        writer->is_full = true;
        return;
    }
    for (size_t i = 0; i < length; i++)
        writer->at[i] = at[i] == '\r' || at[i] == '\n' ? ' ' : at[i];
    writer->at += length;
    writer->room -= length;
}

static void write_word(struct writer *writer, const char *word)
{
    write_text(writer, word, strlen(word));
}

static void write_line_end(struct writer *writer)
{
    if (writer->is_full || writer->room < 2) {
        writer->is_full = true;
        return;
    }
    memcpy(writer->at, "\r\n", 2);
    writer->at += 2;
    writer->room -= 2;
}

static const char *phrase_of(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } PHRASES[] = {
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {413, "Request Entity Too Large"},
        {414, "Request-URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Unsupported URI Scheme"},
        {420, "Bad Extension"},
        {481, "Call/Transaction Does Not Exist"},
        {482, "Loop Detected"},
        {483, "Too Many Hops"},
        {488, "Not Acceptable Here"},
        {500, "Server Internal Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "Version Not Supported"},
        {513, "Message Too Large"},
    };
    for (size_t i = 0; i < sizeof(PHRASES) / sizeof(PHRASES[0]); i++)
        if (PHRASES[i].status == status)
            return PHRASES[i].phrase;
    return "Refused";
}

/* received when the peer asked for rport or calls itself by another name than its address (RFC 3261 §18.2.1). */
static void write_top_via(struct writer *writer, struct sip_text value, const char *source, unsigned port)
{
    struct sip_via_facts facts;
    if (!source || sip_grammar_via(value, &facts)) {
        write_text(writer, value.at, value.length);
        return;
    }
    const char *at = value.at;
    if (facts.rport_end) {
        char number[16];
        snprintf(number, sizeof(number), "=%u", port);
        write_text(writer, at, (size_t)(facts.rport_end - at));
        write_word(writer, number);
        at = facts.rport_end;
    }
    write_text(writer, at, (size_t)(facts.first_end - at));
    if (!facts.has_received && (facts.rport_end || !sip_text_is(facts.host, source))) {
        write_word(writer, ";received=");
        write_word(writer, source);
    }
    write_text(writer, facts.first_end, (size_t)(value.at + value.length - facts.first_end));
}

static void write_to(struct writer *writer, struct sip_text value, const char *to_tag)
{
    struct sip_address_facts facts;
    write_text(writer, value.at, value.length);
    if (!to_tag || sip_grammar_addresses(value, &facts) || facts.tag.at)
        return;
    write_word(writer, ";tag=");
    write_word(writer, to_tag);
}

/* Every Via, of the others the first only: a second From must not become part of an answer. */
static void write_headers(struct writer *writer, const struct sip_block *block, const char *to_tag,
                          const char *source, unsigned port)
{
    static const char *const NAMES[SIP_HEADERS] = {
        [SIP_HEADER_VIA] = "Via: ",         [SIP_HEADER_FROM] = "From: ", [SIP_HEADER_TO] = "To: ",
        [SIP_HEADER_CALL_ID] = "Call-ID: ", [SIP_HEADER_CSEQ] = "CSeq: ",
    };
    bool is_top_via = true;
    for (size_t i = 0; i < block->line_count; i++) {
        const struct sip_line *line = &block->lines[i];
        bool is_via = line->header == SIP_HEADER_VIA;
        if (!NAMES[line->header] || (!is_via && sip_block_find(block, line->header, NULL) != line))
            continue;
        write_word(writer, NAMES[line->header]);
        if (is_via && is_top_via)
            write_top_via(writer, line->value, source, port);
        else if (line->header == SIP_HEADER_TO)
            write_to(writer, line->value, to_tag);
        else
            write_text(writer, line->value.at, line->value.length);
        is_top_via = is_top_via && !is_via;
        write_line_end(writer);
    }
}

enum err sip_guard_answer(const char *message, size_t length, const struct sip_guard_verdict *verdict,
                          const char *to_tag, const char *source, unsigned source_port, const char *allow,
                          char *out, size_t capacity, size_t *out_length)
{
    struct sip_block block;
    bool is_in_range = verdict->status >= 300 && verdict->status <= 699;
    if (!is_in_range || !verdict->is_request || verdict->action == SIP_GUARD_DROP || !capacity)
        return ERR_ORDER;
    size_t seen = length < verdict->header_bytes ? length : verdict->header_bytes;
    if (!sip_block_split((struct sip_text){message, seen}, &block))
        return ERR_ORDER;
    struct writer writer = {out, capacity - 1, false};
    char start[32];
    snprintf(start, sizeof(start), "SIP/2.0 %d ", verdict->status);
    write_word(&writer, start);
    write_word(&writer, phrase_of(verdict->status));
    write_line_end(&writer);
    write_headers(&writer, &block, to_tag, source, source_port);
    if (allow) {
        write_word(&writer, "Allow: ");
        write_word(&writer, allow);
        write_line_end(&writer);
    }
    write_word(&writer, "Content-Length: 0");
    write_line_end(&writer);
    write_line_end(&writer);
    if (writer.is_full)
        return ERR_FULL;
    *writer.at = '\0';
    *out_length = (size_t)(writer.at - out);
    return OK;
}
