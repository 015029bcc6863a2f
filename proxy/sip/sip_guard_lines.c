/* Cuts a message into start line and header lines. Strict about line ends, since parsers that disagree about where a
 * line ends can be made to see different headers: only CRLF ends a line, and a folded line holds more than blanks. */
#include "proxy/sip/sip_guard_priv.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    enum sip_header header;
} HEADERS[] = {
    {"Via", SIP_HEADER_VIA},
    {"v", SIP_HEADER_VIA},
    {"From", SIP_HEADER_FROM},
    {"f", SIP_HEADER_FROM},
    {"To", SIP_HEADER_TO},
    {"t", SIP_HEADER_TO},
    {"Call-ID", SIP_HEADER_CALL_ID},
    {"i", SIP_HEADER_CALL_ID},
    {"CSeq", SIP_HEADER_CSEQ},
    {"Max-Forwards", SIP_HEADER_MAX_FORWARDS},
    {"Content-Length", SIP_HEADER_CONTENT_LENGTH},
    {"l", SIP_HEADER_CONTENT_LENGTH},
    {"Content-Type", SIP_HEADER_CONTENT_TYPE},
    {"c", SIP_HEADER_CONTENT_TYPE},
    {"Contact", SIP_HEADER_CONTACT},
    {"m", SIP_HEADER_CONTACT},
    {"Route", SIP_HEADER_ROUTE},
    {"Record-Route", SIP_HEADER_RECORD_ROUTE},
    {"Expires", SIP_HEADER_EXPIRES},
    {"Session-Expires", SIP_HEADER_SESSION_EXPIRES},
    {"x", SIP_HEADER_SESSION_EXPIRES},
    {"Min-SE", SIP_HEADER_MIN_SE},
};

bool sip_is_blank(int c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool sip_is_token_char(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c > 0 && strchr("-.!%*_+`'~", c));
}

bool sip_text_is(struct sip_text text, const char *word)
{
    return strlen(word) == text.length && strncasecmp(text.at, word, text.length) == 0;
}

static void block_fault(struct sip_block *block, int status, const char *fault)
{
    if (block->fault)
        return;
    block->fault_status = status;
    block->fault = fault;
}

static enum sip_header header_of(struct sip_text name)
{
    for (size_t i = 0; i < sizeof(HEADERS) / sizeof(HEADERS[0]); i++)
        if (sip_text_is(name, HEADERS[i].name))
            return HEADERS[i].header;
    return SIP_HEADER_OTHER;
}

/* One physical line; the cursor moves behind its CRLF. false at the end of the text without CRLF. */
static bool line_take(struct sip_cursor *cursor, struct sip_block *block, struct sip_text *line)
{
    line->at = cursor->at;
    for (;;) {
        int c = sip_cursor_peek(cursor);
        if (c < 0) {
            line->length = (size_t)(cursor->at - line->at);
            return false;
        }
        bool is_crlf = c == '\r' && cursor->end - cursor->at >= 2 && cursor->at[1] == '\n';
        if (is_crlf)
            break;
        if (c == '\r' || c == '\n')
            block_fault(block, 400, "CR or LF alone in a header (RFC 3261 §25.1)");
        else if ((c < ' ' && c != '\t') || c == 0x7f)
            block_fault(block, 400, "control character in a header (RFC 3261 §25.1)");
        block->commas += c == ',';
        block->semicolons += c == ';';
        cursor->at++;
    }
    line->length = (size_t)(cursor->at - line->at);
    cursor->at += 2;
    return true;
}

static bool line_is_blank(struct sip_text line)
{
    for (size_t i = 0; i < line.length; i++)
        if (!sip_is_blank(line.at[i]))
            return false;
    return true;
}

static bool is_fold_next(const struct sip_cursor *cursor)
{
    int c = sip_cursor_peek(cursor);
    return c == ' ' || c == '\t';
}

/* A header line with the folded lines that belong to it. */
static bool line_take_folded(struct sip_cursor *cursor, struct sip_block *block, struct sip_text *line)
{
    if (!line_take(cursor, block, line))
        return false;
    while (line->length && is_fold_next(cursor)) {
        struct sip_text more;
        bool is_whole = line_take(cursor, block, &more);
        if (line_is_blank(more))
            block_fault(block, 400, "folded line of blanks only, may be taken for the end of headers");
        line->length = (size_t)(more.at + more.length - line->at);
        if (!is_whole)
            return false;
    }
    return true;
}

static struct sip_text text_trim(struct sip_text text)
{
    while (text.length && sip_is_blank(*text.at)) {
        text.at++;
        text.length--;
    }
    while (text.length && sip_is_blank(text.at[text.length - 1]))
        text.length--;
    return text;
}

static void block_add(struct sip_block *block, struct sip_text line)
{
    if (line.length > LIMIT_SIP_LINE_BYTES)
        block_fault(block, 513, "header line longer than LIMIT_SIP_LINE_BYTES");
    struct sip_cursor cursor = sip_cursor_of(line);
    while (sip_is_token_char(sip_cursor_peek(&cursor)))
        cursor.at++;
    struct sip_text name = {line.at, (size_t)(cursor.at - line.at)};
    /* Blanks before the colon are legal (HCOLON, RFC 3261 §25.1); what is behind a name that we do not know stays here
     * all the same, since headers are rebuilt. */
    while (sip_is_blank(sip_cursor_peek(&cursor)))
        cursor.at++;
    if (!name.length || sip_cursor_peek(&cursor) != ':') {
        block_fault(block, 400, "header line without a name and a colon (RFC 3261 §7.3)");
        return;
    }
    if (block->line_count == LIMIT_SIP_HEADERS) {
        block_fault(block, 513, "more headers than LIMIT_SIP_HEADERS");
        return;
    }
    cursor.at++;
    struct sip_text value = {cursor.at, (size_t)(cursor.end - cursor.at)};
    block->lines[block->line_count++] = (struct sip_line){header_of(name), text_trim(value)};
}

bool sip_block_split(struct sip_text message, struct sip_block *block)
{
    struct sip_cursor cursor = sip_cursor_of(message);
    memset(block, 0, sizeof(*block));
    if (!line_take(&cursor, block, &block->start) || !block->start.length)
        return false;
    block->is_start_fault = block->start.length > LIMIT_SIP_LINE_BYTES;
    if (is_fold_next(&cursor))
        block_fault(block, 400, "folded start line (RFC 3261 §7.1)");
    for (;;) {
        struct sip_text line;
        bool is_whole = line_take_folded(&cursor, block, &line);
        if (is_whole && !line.length)
            break;
        if (!is_whole) {
            block_fault(block, 400, "no empty line behind the headers (RFC 3261 §7)");
            break;
        }
        block_add(block, line);
    }
    if (block->commas > LIMIT_SIP_COMMAS)
        block_fault(block, 513, "more commas than LIMIT_SIP_COMMAS");
    if (block->semicolons > LIMIT_SIP_SEMICOLONS)
        block_fault(block, 513, "more semicolons than LIMIT_SIP_SEMICOLONS");
    block->bytes = (size_t)(cursor.at - message.at);
    return true;
}

const struct sip_line *sip_block_find(const struct sip_block *block, enum sip_header header, size_t *count)
{
    const struct sip_line *first = NULL;
    size_t found = 0;
    for (size_t i = 0; i < block->line_count; i++) {
        if (block->lines[i].header != header)
            continue;
        if (!found++)
            first = &block->lines[i];
    }
    if (count)
        *count = found;
    return first;
}
