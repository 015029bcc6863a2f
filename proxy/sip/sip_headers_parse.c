/* The one door into libosip2. It gets a copy that ends in zeroed slack, whose lines the guard has passed, and never a
 * body: its multipart reader has had overflows (CVE-2022-41550), and bodies are read by readers of our own. */
#include "proxy/sip/sip_guard_priv.h"
#include "proxy/sip/sip_headers.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLACK_BYTES 64

static void trace_nothing(const char *file, int line, osip_trace_level_t level, const char *format,
                          va_list arguments)
{
    (void)file;
    (void)line;
    (void)level;
    (void)format;
    (void)arguments;
}

void sip_headers_start(void)
{
    osip_trace_initialize_func(TRACE_LEVEL0, trace_nothing);
    parser_init();
}

static bool text_equals(struct sip_text text, const char *other)
{
    return other && strlen(other) == text.length && memcmp(text.at, other, text.length) == 0;
}

/* A Content-Length of as many zeros as it had digits, so that the library looks for no body. */
static void hide_body(char *copy, const char *message, const struct sip_block *block)
{
    const struct sip_line *line = sip_block_find(block, SIP_HEADER_CONTENT_LENGTH, NULL);
    if (line)
        memset(copy + (line->value.at - message), '0', line->value.length);
}

static enum err body_attach(osip_message_t *parsed, const char *body, size_t length)
{
    char number[24];
    osip_content_length_free(parsed->content_length);
    parsed->content_length = NULL;
    snprintf(number, sizeof(number), "%zu", length);
    if (osip_message_set_content_length(parsed, number))
        return ERR_MEMORY;
    return length && osip_message_set_body(parsed, body, length) ? ERR_MEMORY : OK;
}

static size_t via_count(const struct sip_block *block)
{
    size_t count = 0;
    for (size_t i = 0; i < block->line_count; i++) {
        struct sip_via_facts facts;
        if (block->lines[i].header == SIP_HEADER_VIA && !sip_grammar_via(block->lines[i].value, &facts))
            count += facts.count;
    }
    return count;
}

static bool start_is_same(const osip_message_t *parsed, const struct sip_block *block)
{
    struct sip_text word = block->start;
    const char *space = memchr(word.at, ' ', word.length);
    if (!MSG_IS_REQUEST(parsed))
        return space && parsed->status_code == (int)strtol(space + 1, NULL, 10);
    word.length = space ? (size_t)(space - word.at) : 0;
    return parsed->req_uri && text_equals(word, parsed->sip_method);
}

/* Two readers that understand one message differently are how things get smuggled: then neither is believed. */
static bool is_same(const osip_message_t *parsed, const struct sip_block *block, bool is_request)
{
    const struct sip_line *call_id = sip_block_find(block, SIP_HEADER_CALL_ID, NULL);
    const struct sip_line *cseq = sip_block_find(block, SIP_HEADER_CSEQ, NULL);
    struct sip_text method = {NULL, 0};
    if (!call_id || !cseq || sip_grammar_cseq(cseq->value, &method))
        return false;
    if (!parsed->from || !parsed->from->url || !parsed->to || !parsed->to->url || !parsed->call_id ||
        !parsed->cseq || !parsed->cseq->number)
        return false;
    struct sip_text id = call_id->value;
    struct sip_text host = {NULL, 0};
    const char *at_sign = memchr(id.at, '@', id.length);
    if (at_sign) {
        host = (struct sip_text){at_sign + 1, (size_t)(id.at + id.length - at_sign - 1)};
        id.length = (size_t)(at_sign - id.at);
    }
    return MSG_IS_REQUEST(parsed) == is_request && start_is_same(parsed, block) &&
           text_equals(id, parsed->call_id->number) &&
           (!at_sign || text_equals(host, parsed->call_id->host)) &&
           text_equals(method, parsed->cseq->method) &&
           strtoul(parsed->cseq->number, NULL, 10) == strtoul(cseq->value.at, NULL, 10) &&
           (size_t)osip_list_size(&parsed->vias) == via_count(block);
}

enum err sip_headers_parse(const char *message, const struct sip_guard_verdict *verdict, osip_message_t **out)
{
    struct sip_block block;
    osip_message_t *parsed = NULL;
    enum err err = ERR_MEMORY;
    *out = NULL;
    if (!sip_block_split((struct sip_text){message, verdict->header_bytes}, &block))
        return ERR_SYNTAX;
    char *copy = calloc(1, verdict->header_bytes + SLACK_BYTES);
    if (!copy || osip_message_init(&parsed))
        goto out;
    memcpy(copy, message, verdict->header_bytes);
    hide_body(copy, message, &block);
    err = osip_message_parse(parsed, copy, verdict->header_bytes) ? ERR_SYNTAX : OK;
    if (!err && !is_same(parsed, &block, verdict->is_request))
        err = ERR_SYNTAX;
    if (!err)
        err = body_attach(parsed, message + verdict->header_bytes, verdict->body_bytes);
out:
    free(copy);
    if (err)
        osip_message_free(parsed);
    else
        *out = parsed;
    return err;
}
