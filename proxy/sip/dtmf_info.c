#include "proxy/sip/dtmf_info.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define DURATION_MS_MAX 10000

struct text {
    const char *at;
    size_t length;
};

static struct text trim(struct text text)
{
    while (text.length && isspace((unsigned char)*text.at))
        text = (struct text){text.at + 1, text.length - 1};
    while (text.length && isspace((unsigned char)text.at[text.length - 1]))
        text.length--;
    return text;
}

/* ERR_SYNTAX, ERR_RANGE. */
static enum err read_number(struct text text, unsigned most, unsigned *number)
{
    if (text.length == 0 || text.length > 6)
        return ERR_SYNTAX;
    *number = 0;
    for (size_t i = 0; i < text.length; i++) {
        if (!isdigit((unsigned char)text.at[i]))
            return ERR_SYNTAX;
        *number = *number * 10 + (unsigned)(text.at[i] - '0');
    }
    return *number <= most ? OK : ERR_RANGE;
}

static enum err read_key(struct text text, dtmf_key *key)
{
    static const char keys[] = "0123456789*#ABCD";
    text = trim(text);
    if (text.length == 1) {
        const char *found = memchr(keys, toupper((unsigned char)*text.at), DTMF_KEY_COUNT);
        if (!found)
            return ERR_SYNTAX;
        *key = (dtmf_key)(found - keys);
        return OK;
    }
    unsigned number;
    if (text.length != 2 || read_number(text, DTMF_KEY_COUNT - 1, &number) || number < 10)
        return ERR_SYNTAX;
    *key = (dtmf_key)number;
    return OK;
}

static struct text take_line(struct text *body)
{
    struct text line = {body->at, 0};
    while (line.length < body->length && line.at[line.length] != '\r' && line.at[line.length] != '\n')
        line.length++;
    size_t used = line.length < body->length ? line.length + 1 : line.length;
    body->at += used;
    body->length -= used;
    return line;
}

static enum err read_relay(struct text body, dtmf_key *key, unsigned *duration_ms)
{
    int keys_seen = 0;
    while (body.length) {
        struct text line = take_line(&body);
        const char *equals = memchr(line.at, '=', line.length);
        if (!equals)
            continue;
        struct text name = trim((struct text){line.at, (size_t)(equals - line.at)});
        struct text value = trim((struct text){equals + 1, line.length - (size_t)(equals - line.at) - 1});
        if (name.length == 6 && strncasecmp(name.at, "Signal", 6) == 0) {
            if (keys_seen++ || read_key(value, key))
                return ERR_SYNTAX;
        } else if (name.length == 8 && strncasecmp(name.at, "Duration", 8) == 0) {
            if (read_number(value, DURATION_MS_MAX, duration_ms))
                return ERR_SYNTAX;
        }
    }
    return keys_seen == 1 ? OK : ERR_SYNTAX;
}

enum err dtmf_info_read(const char *type, const char *body, size_t length, dtmf_key *key,
                        unsigned *duration_ms)
{
    struct text text = {body, length};
    *duration_ms = 0;
    if (strcmp(type, "application/dtmf-relay") == 0)
        return body ? read_relay(text, key, duration_ms) : ERR_SYNTAX;
    if (strcmp(type, "application/dtmf") == 0)
        return body ? read_key(text, key) : ERR_SYNTAX;
    return ERR_UNSUPPORTED;
}
