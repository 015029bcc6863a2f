#include "proxy/sip/sip_headers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DISPLAY_BYTES  128
#define DIVERSIONS_MAX 8
#define IDENTITIES_MAX 2 /* one sip: and one tel: (RFC 3325 §9.1) */
#define PRIVACY_BYTES  64
#define REASON_BYTES   32

/* A walk over the values of one header; osip keeps the headers it does not know in one linked list, so an index would make
 * every step as long as the list. */
struct values {
    const char *name;
    osip_list_iterator_t at;
    const osip_header_t *next;
};

static struct values values_of(const osip_message_t *message, const char *name)
{
    struct values values = {.name = name};
    values.next = osip_list_get_first(&message->headers, &values.at);
    return values;
}

/* NULL behind the last. */
static const char *values_next(struct values *values)
{
    while (values->next) {
        const osip_header_t *header = values->next;
        values->next = osip_list_get_next(&values->at);
        if (header->hname && strcasecmp(header->hname, values->name) == 0)
            return header->hvalue ? header->hvalue : "";
    }
    return NULL;
}

static bool has_header(const osip_message_t *message, const char *name)
{
    struct values values = values_of(message, name);
    return values_next(&values) != NULL;
}

static enum err header_add(osip_message_t *out, const char *name, const char *value)
{
    return osip_message_set_header(out, name, value) ? ERR_MEMORY : OK;
}

static bool is_control(char c)
{
    return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f;
}

static bool is_clean(const char *text)
{
    while (*text && !is_control(*text))
        text++;
    return !*text;
}

/* --- users and names -------------------------------------------------------------------------------------------- */

/* A telephone number without its parameters and visual separators (RFC 3966 §5.1.1). */
static enum err user_of_tel(const char *number, char *user, size_t capacity)
{
    size_t length = 0;
    for (; *number && *number != ';'; number++) {
        if (strchr("-.()", *number))
            continue;
        if (!strchr("0123456789ABCDEFabcdef+*#", *number))
            return ERR_SYNTAX;
        if (length + 1 >= capacity)
            return ERR_LENGTH;
        user[length++] = *number;
    }
    user[length] = '\0';
    return OK;
}

enum err sip_headers_user(const osip_uri_t *uri, char *user, size_t capacity)
{
    if (!uri || !uri->scheme || !capacity)
        return ERR_UNSUPPORTED;
    user[0] = '\0';
    if (strcasecmp(uri->scheme, "tel") == 0)
        return user_of_tel(uri->string ? uri->string : "", user, capacity);
    if (strcasecmp(uri->scheme, "sip") != 0 && strcasecmp(uri->scheme, "sips") != 0)
        return ERR_UNSUPPORTED;
    const char *name = uri->username ? uri->username : "";
    if (!is_clean(name))
        return ERR_SYNTAX;
    size_t length = strlen(name);
    if (length >= capacity)
        return ERR_LENGTH;
    memcpy(user, name, length + 1);
    return OK;
}

/* The name as people read it: quotes and backslashes taken off, control characters left out. */
static void display_plain(const char *quoted, char *plain)
{
    size_t length = 0;
    bool is_quoted = *quoted == '"';
    for (quoted += is_quoted; *quoted && length + 1 < DISPLAY_BYTES; quoted++) {
        if (is_quoted && *quoted == '"')
            break;
        if (is_quoted && *quoted == '\\' && quoted[1])
            quoted++;
        if (!is_control(*quoted))
            plain[length++] = *quoted;
    }
    while (length && plain[length - 1] == ' ')
        length--;
    /* A cut must not leave half a UTF-8 character. */
    while (length && length + 1 >= DISPLAY_BYTES && ((unsigned char)plain[length - 1] & 0x80))
        length--;
    plain[length] = '\0';
}

/* In quotes again. quoted has room for 2 * DISPLAY_BYTES + 2. */
static void display_quote(const char *plain, char *quoted)
{
    *quoted++ = '"';
    for (; *plain; plain++) {
        if (*plain == '"' || *plain == '\\')
            *quoted++ = '\\';
        *quoted++ = *plain;
    }
    *quoted++ = '"';
    *quoted = '\0';
}

static void display_rebuild(const char *given, char *quoted)
{
    char plain[DISPLAY_BYTES];
    quoted[0] = '\0';
    if (!given)
        return;
    while (*given == ' ' || *given == '\t')
        given++;
    display_plain(given, plain);
    if (plain[0])
        display_quote(plain, quoted);
}

/* From or To: only into a URI that has no user yet, so that within a dialog nothing moves (RFC 3261 §12.2.1.1). */
static enum err cross_party(const osip_from_t *in, osip_from_t *out)
{
    char user[SIP_HEADERS_USER_BYTES];
    char display[2 * DISPLAY_BYTES + 2];
    if (!in || !out || !out->url || out->url->username)
        return OK;
    enum err err = sip_headers_user(in->url, user, sizeof(user));
    if (err == ERR_UNSUPPORTED)
        user[0] = '\0'; /* isbn: and the like name nobody whom a telephone could show */
    else if (err)
        return ERR_SYNTAX;
    display_rebuild(in->displayname, display);
    if (user[0]) {
        char *copy = osip_strdup(user);
        if (!copy)
            return ERR_MEMORY;
        osip_uri_set_username(out->url, copy);
    }
    if (display[0] && !out->displayname) {
        char *copy = osip_strdup(display);
        if (!copy)
            return ERR_MEMORY;
        osip_from_set_displayname(out, copy);
    }
    return OK;
}

/* --- headers, one function each --------------------------------------------------------------------------------- */

static enum err cross_max_forwards(const osip_message_t *in, osip_message_t *out)
{
    char number[16];
    struct values values = values_of(in, "max-forwards");
    if (!MSG_IS_REQUEST(in))
        return OK;
    const char *value = values_next(&values);
    unsigned long hops = value ? strtoul(value, NULL, 10) : SIP_HEADERS_MAX_FORWARDS;
    if (!hops)
        return ERR_REFUSED;
    if (has_header(out, "max-forwards"))
        return OK;
    hops = value ? hops - 1 : hops;
    snprintf(number, sizeof(number), "%lu",
             hops < SIP_HEADERS_MAX_FORWARDS ? hops : (unsigned long)SIP_HEADERS_MAX_FORWARDS);
    return header_add(out, "Max-Forwards", number);
}

/* Which methods of ours the other side allows, as bits in the order of SIP_HEADERS_ALLOW. */
static const char *const METHODS[] = {"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE"};
#define METHOD_COUNT (sizeof(METHODS) / sizeof(METHODS[0]))

static unsigned allowed_read(const osip_message_t *in)
{
    unsigned allowed = 0;
    osip_list_iterator_t at;
    const osip_allow_t *allow = osip_list_get_first(&in->allows, &at);
    for (; allow; allow = osip_list_get_next(&at))
        for (size_t i = 0; i < METHOD_COUNT; i++)
            if (allow->value && strcmp(allow->value, METHODS[i]) == 0)
                allowed |= 1U << i;
    return allowed;
}

static enum err cross_allow(const osip_message_t *in, osip_message_t *out)
{
    char value[sizeof(SIP_HEADERS_ALLOW)] = "";
    size_t length = 0;
    unsigned allowed = allowed_read(in);
    if (!allowed || osip_list_size(&out->allows))
        return OK;
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if (allowed & 1U << i)
            length += (size_t)snprintf(value + length, sizeof(value) - length, "%s%s", length ? ", " : "",
                                       METHODS[i]);
    return osip_message_set_allow(out, value) ? ERR_MEMORY : OK;
}

static const char *const PRIVACY_VALUES[] = {"none", "header",   "session", "user",
                                             "id",   "critical", "history"};

/* The known values of Privacy (RFC 3323 §4.2, RFC 3325 §9.3, RFC 7044), separated by ';'. */
static void privacy_read(const osip_message_t *in, char *value)
{
    struct values values = values_of(in, "privacy");
    value[0] = '\0';
    for (const char *given = values_next(&values); given; given = values_next(&values)) {
        for (const char *at = given; *at; at += strspn(at, " ;,\t")) {
            size_t length = strcspn(at, " ;,\t");
            for (size_t i = 0; i < sizeof(PRIVACY_VALUES) / sizeof(PRIVACY_VALUES[0]); i++) {
                bool is_value =
                    strlen(PRIVACY_VALUES[i]) == length && strncasecmp(at, PRIVACY_VALUES[i], length) == 0;
                if (is_value && !strstr(value, PRIVACY_VALUES[i]))
                    snprintf(value + strlen(value), PRIVACY_BYTES - strlen(value), "%s%s",
                             value[0] ? ";" : "", PRIVACY_VALUES[i]);
            }
            at += length;
        }
    }
}

/* An address of a header that osip keeps as text, made ours: name, user, the host of out's From. false: not one that can
 * be. value has room for LIMIT_SIP_LINE_BYTES. *parsed (freed by the caller) has the parameters. */
static bool address_rebuild(const char *given, const osip_message_t *out, bool has_display, char *value,
                            osip_from_t **parsed)
{
    char user[SIP_HEADERS_USER_BYTES];
    char display[2 * DISPLAY_BYTES + 2];
    osip_uri_t *uri = NULL;
    char *text = NULL;
    const osip_uri_t *host = out->from ? out->from->url : NULL;
    bool is_built = false;
    if (!host || !host->host || osip_from_init(parsed))
        return false;
    if (osip_from_parse(*parsed, given) || !(*parsed)->url)
        return false;
    if (sip_headers_user((*parsed)->url, user, sizeof(user)) || !user[0] || osip_uri_init(&uri))
        return false;
    display_rebuild(has_display ? (*parsed)->displayname : NULL, display);
    bool is_tel = strcasecmp((*parsed)->url->scheme, "tel") == 0;
    if (is_tel) {
        snprintf(value, LIMIT_SIP_LINE_BYTES, "%s%s<tel:%s>", display, display[0] ? " " : "", user);
        is_built = !strchr(user, '#');
    } else {
        osip_uri_set_scheme(uri, osip_strdup("sip"));
        osip_uri_set_username(uri, osip_strdup(user));
        osip_uri_set_host(uri, osip_strdup(host->host));
        is_built = uri->scheme && uri->username && uri->host && osip_uri_to_str(uri, &text) == 0;
        if (is_built)
            snprintf(value, LIMIT_SIP_LINE_BYTES, "%s%s<%s>", display, display[0] ? " " : "", text);
    }
    osip_free(text);
    osip_uri_free(uri);
    return is_built;
}

static enum err cross_identity(const osip_message_t *in, osip_message_t *out)
{
    char privacy[PRIVACY_BYTES];
    struct values values = values_of(in, "p-asserted-identity");
    enum err err = OK;
    privacy_read(in, privacy);
    if (has_header(in, "privacy") && !privacy[0])
        return OK; /* a wish for privacy that we do not understand: no identity */
    if (privacy[0] && !has_header(out, "privacy"))
        err = header_add(out, "Privacy", privacy);
    for (int count = 0; !err && count < IDENTITIES_MAX; count++) {
        char value[LIMIT_SIP_LINE_BYTES];
        osip_from_t *parsed = NULL;
        const char *given = values_next(&values);
        if (given && address_rebuild(given, out, true, value, &parsed))
            err = header_add(out, "P-Asserted-Identity", value);
        osip_from_free(parsed);
        if (!given)
            break;
    }
    return err;
}

static const char *word_known(const char *given, const char *const *words, size_t count)
{
    for (size_t i = 0; given && i < count; i++) {
        size_t length = strlen(words[i]);
        bool is_quoted = given[0] == '"' && strncasecmp(given + 1, words[i], length) == 0 &&
                         strcmp(given + 1 + length, "\"") == 0;
        if (is_quoted || strcasecmp(given, words[i]) == 0)
            return words[i];
    }
    return NULL;
}

static const char *param_of(const osip_from_t *address, const char *name)
{
    osip_list_iterator_t at;
    const osip_generic_param_t *param = osip_list_get_first(&address->gen_params, &at);
    for (; param; param = osip_list_get_next(&at))
        if (param->gname && strcasecmp(param->gname, name) == 0)
            return param->gvalue;
    return NULL;
}

/* The parameters of RFC 5806 §5 by known values only. */
static void diversion_params(const osip_from_t *address, char *value)
{
    static const char *const REASONS[] = {
        "unknown",        "user-busy",  "no-answer", "unavailable",    "unconditional", "time-of-day",
        "do-not-disturb", "deflection", "follow-me", "out-of-service", "away"};
    static const char *const PRIVACIES[] = {"full", "name", "uri", "off"};
    const char *reason =
        word_known(param_of(address, "reason"), REASONS, sizeof(REASONS) / sizeof(REASONS[0]));
    const char *privacy =
        word_known(param_of(address, "privacy"), PRIVACIES, sizeof(PRIVACIES) / sizeof(PRIVACIES[0]));
    const char *counter = param_of(address, "counter");
    size_t digits = counter ? strspn(counter, "0123456789") : 0;
    char *end = value + strlen(value);
    if (reason)
        end += snprintf(end, 32, ";reason=%s", reason);
    if (digits && digits <= 2 && !counter[digits])
        end += snprintf(end, 16, ";counter=%s", counter);
    if (privacy)
        snprintf(end, 16, ";privacy=%s", privacy);
}

static enum err cross_diversion(const osip_message_t *in, osip_message_t *out)
{
    struct values values = values_of(in, "diversion");
    enum err err = OK;
    for (int count = 0; !err && count < DIVERSIONS_MAX; count++) {
        char value[LIMIT_SIP_LINE_BYTES + 64];
        osip_from_t *parsed = NULL;
        const char *given = values_next(&values);
        if (given && address_rebuild(given, out, false, value, &parsed)) {
            diversion_params(parsed, value);
            err = header_add(out, "Diversion", value);
        }
        osip_from_free(parsed);
        if (!given)
            break;
    }
    return err;
}

/* The number behind "cause=", 1..999; 0 when there is none. */
static unsigned reason_cause(const char *given)
{
    for (const char *at = strchr(given, ';'); at; at = strchr(at, ';')) {
        at += 1 + strspn(at + 1, " \t");
        if (strncasecmp(at, "cause", 5) != 0)
            continue;
        at += 5 + strspn(at + 5, " \t");
        if (*at != '=')
            continue;
        at += 1 + strspn(at + 1, " \t");
        size_t digits = strspn(at, "0123456789");
        return digits && digits <= 3 ? (unsigned)strtoul(at, NULL, 10) : 0;
    }
    return 0;
}

static enum err cross_reason(const osip_message_t *in, osip_message_t *out)
{
    static const char *const PROTOCOLS[] = {"SIP", "Q.850"};
    struct values values = values_of(in, "reason");
    enum err err = OK;
    bool is_done[2] = {false, false}; /* one value a protocol (RFC 3326 §2) */
    for (const char *given = values_next(&values); given && !err; given = values_next(&values)) {
        size_t length = strcspn(given, " \t;");
        unsigned cause = reason_cause(given);
        for (int i = 0; i < 2 && cause; i++) {
            char value[REASON_BYTES];
            if (is_done[i] || strlen(PROTOCOLS[i]) != length || strncasecmp(given, PROTOCOLS[i], length) != 0)
                continue;
            is_done[i] = true;
            snprintf(value, sizeof(value), "%s;cause=%u", PROTOCOLS[i], cause);
            err = header_add(out, "Reason", value);
        }
    }
    return err;
}

/* The configuration is checked for this too; a list that let Via or Route through would be worse than none. */
static bool name_may_cross(const char *name)
{
    bool is_own = (strncasecmp(name, "X-", 2) == 0 && name[2]) || strcasecmp(name, "User-to-User") == 0;
    size_t token = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return is_own && !name[token];
}

/* One configured header. osip has cut its value at commas; joined again it is the same (RFC 3261 §7.3.1). */
static enum err cross_configured(const osip_message_t *in, const char *name, osip_message_t *out)
{
    char joined[LIMIT_SIP_LINE_BYTES];
    size_t length = 0;
    struct values values = values_of(in, name);
    if (!name_may_cross(name) || has_header(out, name))
        return OK;
    for (const char *value = values_next(&values); value; value = values_next(&values)) {
        int used = snprintf(joined + length, sizeof(joined) - length, "%s%s", length ? ", " : "", value);
        if (used < 0 || (size_t)used >= sizeof(joined) - length || !is_clean(value))
            return OK;
        length += (size_t)used;
    }
    return length ? header_add(out, name, joined) : OK;
}

enum err sip_headers_cross(const osip_message_t *in, const struct config *config, osip_message_t *out)
{
    enum err err = cross_max_forwards(in, out);
    if (!err)
        err = cross_party(in->from, out->from);
    if (!err)
        err = cross_party((const osip_from_t *)in->to, (osip_from_t *)out->to);
    if (!err)
        err = cross_allow(in, out);
    if (!err)
        err = cross_identity(in, out);
    if (!err)
        err = cross_diversion(in, out);
    if (!err)
        err = cross_reason(in, out);
    for (size_t i = 0; !err && i < config->sip.crossing_header_count && i < LIMIT_CROSSING_HEADERS; i++)
        err = cross_configured(in, config->sip.crossing_headers[i], out);
    return err;
}

bool sip_headers_require_unknown(const osip_message_t *in, char *unsupported, size_t capacity)
{
    struct values values = values_of(in, "require");
    size_t length = 0;
    bool is_any = false;
    if (capacity)
        unsupported[0] = '\0';
    for (const char *tag = values_next(&values); tag; tag = values_next(&values)) {
        is_any = is_any || *tag;
        size_t token =
            strspn(tag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~");
        if (!token || tag[token] || length + token + 3 > capacity)
            continue;
        length += (size_t)snprintf(unsupported + length, capacity - length, "%s%s", length ? ", " : "", tag);
    }
    return is_any;
}
