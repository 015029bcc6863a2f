/* The grammar (RFC 3261 §25.1) of the headers we use, and no more: what is not read needs no opinion. Where real peers
 * are known to be looser than the RFC and it does no harm, the comment says so. */
#include "proxy/sip/sip_guard_priv.h"

#include <string.h>

static void skip_blanks(struct sip_cursor *cursor)
{
    while (sip_is_blank(sip_cursor_peek(cursor)))
        cursor->at++;
}

static bool take_char(struct sip_cursor *cursor, int wanted)
{
    if (sip_cursor_peek(cursor) != wanted)
        return false;
    cursor->at++;
    return true;
}

static struct sip_text take_while(struct sip_cursor *cursor, bool (*is_part)(int))
{
    struct sip_text text = {cursor->at, 0};
    while (is_part(sip_cursor_peek(cursor)))
        cursor->at++;
    text.length = (size_t)(cursor->at - text.at);
    return text;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(int c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_alnum(int c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_graphic(int c)
{
    return c > ' ' && c < 0x7f;
}

/* An underscore is in no host name by the book and in many by practice. */
static bool is_host_char(int c)
{
    return is_alnum(c) || c == '.' || c == '-' || c == '_';
}

static bool is_address6_char(int c)
{
    return is_hex(c) || c == ':' || c == '.';
}

/* Unreserved, reserved, escapes and the brackets of IPv6 (RFC 3261 §25.1). */
static bool is_uri_char(int c)
{
    return is_alnum(c) || (c > 0 && strchr("-_.!~*'();/?:@&=+$,%[]", c));
}

/* A token, a host, or what base64 makes of a tag: peers use '=' and '/' there. Never what ends a parameter. */
static bool is_param_value_char(int c)
{
    return is_graphic(c) && !strchr(";,\"<>\\", c);
}

bool sip_grammar_number(struct sip_text value, uint64_t most, uint64_t *number)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < value.length; i++) {
        if (!is_digit(value.at[i]))
            return false;
        sum = sum * 10 + (uint64_t)(value.at[i] - '0');
        if (sum > most) /* most < 2^60, so the sum cannot have wrapped */
            return false;
    }
    *number = sum;
    return value.length > 0;
}

static bool take_quoted(struct sip_cursor *cursor)
{
    if (!take_char(cursor, '"'))
        return false;
    for (int c = sip_cursor_peek(cursor); c >= 0; c = sip_cursor_peek(cursor)) {
        cursor->at++;
        if (c == '"')
            return true;
        if (c == '\\' && cursor->at < cursor->end)
            cursor->at++;
    }
    return false;
}

static bool take_host(struct sip_cursor *cursor, struct sip_text *host)
{
    host->at = cursor->at;
    if (take_char(cursor, '[')) {
        if (!take_while(cursor, is_address6_char).length || !take_char(cursor, ']'))
            return false;
    } else if (!take_while(cursor, is_host_char).length) {
        return false;
    }
    host->length = (size_t)(cursor->at - host->at);
    return true;
}

static bool take_port(struct sip_cursor *cursor)
{
    uint64_t port = 0;
    return sip_grammar_number(take_while(cursor, is_digit), 65535, &port) && port > 0;
}

struct param {
    struct sip_text name;
    struct sip_text value; /* at NULL: none */
    const char *end;       /* behind name or value, before blanks */
};

static bool take_param(struct sip_cursor *cursor, struct param *param)
{
    skip_blanks(cursor);
    *param = (struct param){.name = take_while(cursor, sip_is_token_char)};
    param->end = cursor->at;
    if (!param->name.length)
        return false;
    struct sip_cursor behind = *cursor;
    skip_blanks(&behind);
    if (!take_char(&behind, '='))
        return true;
    skip_blanks(&behind);
    *cursor = behind;
    param->value.at = cursor->at;
    if (sip_cursor_peek(cursor) == '"') {
        if (!take_quoted(cursor))
            return false;
    } else if (!take_while(cursor, is_param_value_char).length) {
        return false;
    }
    param->value.length = (size_t)(cursor->at - param->value.at);
    param->end = cursor->at;
    return true;
}

/* SIP / 2.0 / UDP host:port, blanks nearly everywhere. */
static const char *via_sent_by(struct sip_cursor *cursor, struct sip_via_facts *facts, struct sip_text *host)
{
    struct sip_text part[3];
    for (int i = 0; i < 3; i++) {
        skip_blanks(cursor);
        part[i] = take_while(cursor, sip_is_token_char);
        if (!part[i].length)
            return "malformed protocol in Via (RFC 3261 §20.42)";
        if (i == 2)
            break;
        skip_blanks(cursor);
        if (!take_char(cursor, '/'))
            return "malformed protocol in Via (RFC 3261 §20.42)";
    }
    if (!sip_text_is(part[0], "SIP") || !sip_text_is(part[1], "2.0"))
        facts->is_of_other_protocol = true;
    if (!sip_is_blank(sip_cursor_peek(cursor)))
        return "no blank before the host in Via (RFC 3261 §25.1)";
    skip_blanks(cursor);
    if (!take_host(cursor, host))
        return "malformed host in Via (RFC 3261 §25.1)";
    skip_blanks(cursor);
    if (take_char(cursor, ':')) {
        skip_blanks(cursor);
        if (!take_port(cursor))
            return "malformed port in Via (RFC 3261 §25.1)";
    }
    return NULL;
}

static void via_note_param(const struct param *param, struct sip_via_facts *facts)
{
    if (sip_text_is(param->name, "branch"))
        facts->branch = param->value;
    else if (sip_text_is(param->name, "received"))
        facts->has_received = true;
    else if (sip_text_is(param->name, "rport") && !param->value.at)
        facts->rport_end = param->end;
}

static const char *via_value(struct sip_cursor *cursor, struct sip_via_facts *facts)
{
    struct sip_text host;
    const char *fault = via_sent_by(cursor, facts, &host);
    if (fault)
        return fault;
    bool is_first = facts->count++ == 0;
    if (is_first)
        facts->host = host;
    const char *end = cursor->at;
    skip_blanks(cursor);
    while (take_char(cursor, ';')) {
        struct param param;
        if (!take_param(cursor, &param))
            return "malformed parameter in Via (RFC 3261 §25.1)";
        if (is_first)
            via_note_param(&param, facts);
        end = param.end;
        skip_blanks(cursor);
    }
    if (is_first)
        facts->first_end = end;
    return NULL;
}

const char *sip_grammar_via(struct sip_text value, struct sip_via_facts *facts)
{
    struct sip_cursor cursor = sip_cursor_of(value);
    memset(facts, 0, sizeof(*facts));
    do {
        const char *fault = via_value(&cursor, facts);
        if (fault)
            return fault;
        if (facts->count > LIMIT_SIP_VIAS)
            return "more Vias than LIMIT_SIP_VIAS";
    } while (take_char(&cursor, ','));
    return sip_cursor_peek(&cursor) < 0 ? NULL : "text behind a Via (RFC 3261 §25.1)";
}

static bool escapes_are_whole(struct sip_text uri)
{
    for (size_t i = 0; i < uri.length; i++) {
        SIP_GUARD_READ();
        if (uri.at[i] == '%' && (uri.length - i < 3 || !is_hex(uri.at[i + 1]) || !is_hex(uri.at[i + 2])))
            return false;
    }
    return true;
}

/* What is behind "sip:" or "sips:". The user part may hold nearly anything but '@' (RFC 3261 §25.1), so that the one '@'
 * tells where it ends. */
static const char *uri_of_sip(struct sip_text rest)
{
    const char *at_sign = memchr(rest.at, '@', rest.length);
    struct sip_cursor cursor = sip_cursor_of(rest);
    if (at_sign) {
        if (at_sign == rest.at || memchr(at_sign + 1, '@', (size_t)(cursor.end - at_sign - 1)))
            return "malformed user in a SIP URI (RFC 3261 §19.1.1)";
        cursor.at = at_sign + 1;
    }
    struct sip_text host;
    if (!take_host(&cursor, &host))
        return "malformed host in a SIP URI (RFC 3261 §19.1.1)";
    if (take_char(&cursor, ':') && !take_port(&cursor))
        return "malformed port in a SIP URI (RFC 3261 §19.1.1)";
    int c = sip_cursor_peek(&cursor);
    return c < 0 || c == ';' || c == '?' ? NULL : "text behind the host of a SIP URI (RFC 3261 §19.1.1)";
}

const char *sip_grammar_uri(struct sip_text uri)
{
    struct sip_cursor cursor = sip_cursor_of(uri);
    take_while(&cursor, is_uri_char);
    if (cursor.at != cursor.end)
        return "character that no URI holds (RFC 3261 §25.1)";
    const char *colon = uri.length ? memchr(uri.at, ':', uri.length) : NULL;
    if (!colon || colon == uri.at)
        return "URI without a scheme (RFC 3261 §25.1)";
    if (!escapes_are_whole(uri))
        return "broken escape in a URI (RFC 3261 §25.1)";
    struct sip_text scheme = {uri.at, (size_t)(colon - uri.at)};
    struct sip_text rest = {colon + 1, uri.length - scheme.length - 1};
    if (sip_text_is(scheme, "sip") || sip_text_is(scheme, "sips"))
        return uri_of_sip(rest);
    return rest.length ? NULL : "URI with a scheme only (RFC 3261 §25.1)";
}

/* Moves to a '<' behind a display name; false (and the cursor stays) when it is an address without brackets. */
static bool take_display_name(struct sip_cursor *cursor)
{
    struct sip_cursor ahead = *cursor;
    if (sip_cursor_peek(&ahead) == '"') {
        if (!take_quoted(&ahead))
            return false;
        skip_blanks(&ahead);
    } else {
        while (take_while(&ahead, sip_is_token_char).length)
            skip_blanks(&ahead);
    }
    if (sip_cursor_peek(&ahead) != '<')
        return false;
    *cursor = ahead;
    return true;
}

static bool is_inside_brackets(int c)
{
    return c >= 0 && c != '>';
}

/* Without brackets, ';' starts a parameter of the header, and '?' and ',' may not stand in the URI (RFC 3261 §20.10). */
static bool is_bare_uri_char(int c)
{
    return is_uri_char(c) && c != ';' && c != ',';
}

static const char *address_uri(struct sip_cursor *cursor)
{
    if (take_display_name(cursor)) {
        cursor->at++;
        struct sip_text uri = take_while(cursor, is_inside_brackets);
        if (!take_char(cursor, '>'))
            return "no '>' behind an address (RFC 3261 §25.1)";
        return sip_grammar_uri(uri);
    }
    struct sip_text uri = take_while(cursor, is_bare_uri_char);
    if (memchr(uri.at, '?', uri.length))
        return "URI with headers outside of '<>' (RFC 3261 §20.10)";
    const char *fault = sip_grammar_uri(uri);
    return fault ? "malformed address (RFC 3261 §20.10)" : NULL;
}

static const char *address_value(struct sip_cursor *cursor, struct sip_address_facts *facts)
{
    skip_blanks(cursor);
    const char *fault = address_uri(cursor);
    if (fault)
        return fault;
    bool is_first = facts->count++ == 0;
    skip_blanks(cursor);
    while (take_char(cursor, ';')) {
        struct param param;
        if (!take_param(cursor, &param))
            return "malformed parameter of an address (RFC 3261 §25.1)";
        if (is_first && sip_text_is(param.name, "tag")) {
            if (facts->tag.at || !param.value.length)
                return "tag twice or empty (RFC 3261 §19.3)";
            facts->tag = param.value;
        }
        skip_blanks(cursor);
    }
    return NULL;
}

const char *sip_grammar_addresses(struct sip_text value, struct sip_address_facts *facts)
{
    struct sip_cursor cursor = sip_cursor_of(value);
    memset(facts, 0, sizeof(*facts));
    do {
        const char *fault = address_value(&cursor, facts);
        if (fault)
            return fault;
    } while (take_char(&cursor, ','));
    return sip_cursor_peek(&cursor) < 0 ? NULL : "text behind an address (RFC 3261 §25.1)";
}

/* Looser than word ["@" word]: some peers put base64 there, and we only compare it. */
const char *sip_grammar_call_id(struct sip_text value)
{
    struct sip_cursor cursor = sip_cursor_of(value);
    bool is_whole = take_while(&cursor, is_graphic).length && cursor.at == cursor.end;
    return is_whole ? NULL : "malformed Call-ID (RFC 3261 §20.8)";
}

const char *sip_grammar_cseq(struct sip_text value, struct sip_text *method)
{
    struct sip_cursor cursor = sip_cursor_of(value);
    uint64_t number = 0;
    if (!sip_grammar_number(take_while(&cursor, is_digit), INT32_MAX, &number))
        return "CSeq is no number below 2**31 (RFC 3261 §8.1.1.5)";
    bool has_blank = sip_is_blank(sip_cursor_peek(&cursor));
    skip_blanks(&cursor);
    *method = take_while(&cursor, sip_is_token_char);
    bool is_whole = has_blank && method->length && cursor.at == cursor.end;
    return is_whole ? NULL : "malformed method in CSeq (RFC 3261 §20.16)";
}
