#include "gateway/connectors/mapping_value.h"

#include "base/log.h"
#include "gateway/money.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define WORD_BYTES CONNECTOR_CARRY_BYTES /* longest value of a name, a session's */

#define OF(operation) (1u << CONNECTOR_##operation)
#define ANY           ((1u << CONNECTOR_OPERATIONS) - 1)
#define CHARGE        (OF(CREATE) | OF(CONFIRM))
#define WITH_ORDER    (OF(CONFIRM) | OF(STATUS) | OF(ABANDON) | OF(CAPTURE) | OF(VOID) | OF(REFUND))

enum trait { IS_CARD = 1, IS_OPTIONAL = 2, IS_BARE = 4, MAY_BE_NUMBER = 8 };

/* false: the step has none */
typedef bool word_h(const struct mapping_source *source, char *out);

struct word {
    const char *name;
    word_h *write;
    uint32_t operations;
    unsigned traits;
};

/* --- what a step has --- */

static bool put_digits(const uint8_t *digits, size_t count, char *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (char)('0' + digits[i] % 10);
    out[count] = '\0';
    return count > 0;
}

static bool card_number(const struct mapping_source *source, char *out)
{
    const struct gateway_tokenise_msg *card = source->step->card;
    return card && card->number_length <= LIMIT_PAN_DIGITS &&
           put_digits(card->number, card->number_length, out);
}

static bool card_cvv(const struct mapping_source *source, char *out)
{
    const struct gateway_tokenise_msg *card = source->step->card;
    return card && card->cvv_length <= LIMIT_CVV_DIGITS && put_digits(card->cvv, card->cvv_length, out);
}

static bool card_expiry_month(const struct mapping_source *source, char *out)
{
    const struct gateway_tokenise_msg *card = source->step->card;
    return card && snprintf(out, WORD_BYTES, "%02u", card->expiry_month % 100u) > 0;
}

static bool card_expiry_year2(const struct mapping_source *source, char *out)
{
    const struct gateway_tokenise_msg *card = source->step->card;
    return card && snprintf(out, WORD_BYTES, "%02u", card->expiry_year % 100u) > 0;
}

static bool card_expiry_year4(const struct mapping_source *source, char *out)
{
    const struct gateway_tokenise_msg *card = source->step->card;
    return card && snprintf(out, WORD_BYTES, "20%02u", card->expiry_year % 100u) > 0;
}

static bool has_amount(const struct connector_step *step)
{
    return step->amount_minor >= 1 && step->amount_minor <= LIMIT_AMOUNT_MINOR &&
           money_is_currency(step->currency);
}

static bool amount_minor(const struct mapping_source *source, char *out)
{
    return has_amount(source->step) &&
           snprintf(out, WORD_BYTES, "%lld", (long long)source->step->amount_minor) > 0;
}

static bool amount_decimal(const struct mapping_source *source, char *out)
{
    if (!has_amount(source->step))
        return false;
    money_text(source->step->amount_minor, source->step->currency, out);
    return true;
}

static bool currency(const struct mapping_source *source, char *out)
{
    memcpy(out, source->step->currency, 4);
    return has_amount(source->step);
}

static bool currency_lower(const struct mapping_source *source, char *out)
{
    for (size_t i = 0; i < 4; i++)
        out[i] = (char)tolower((unsigned char)source->step->currency[i]);
    return has_amount(source->step);
}

static bool copy(const char *text, size_t capacity, char *out)
{
    size_t length = strnlen(text, capacity);
    if (length == 0 || length == capacity)
        return false;
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

static bool token(const struct mapping_source *source, char *out)
{
    return copy(source->step->token, sizeof(source->step->token), out);
}

static bool order_ref(const struct mapping_source *source, char *out)
{
    return copy(source->step->order_ref, sizeof(source->step->order_ref), out);
}

static bool customer(const struct mapping_source *source, char *out)
{
    return copy(source->step->customer, sizeof(source->step->customer), out);
}

static bool reference(const struct mapping_source *source, char *out)
{
    return copy(source->step->reference, sizeof(source->step->reference), out);
}

static bool plan(const struct mapping_source *source, char *out)
{
    return copy(source->step->plan, sizeof(source->step->plan), out);
}

static bool merchant(const struct mapping_source *source, char *out)
{
    return copy(source->account->merchant, sizeof(source->account->merchant), out);
}

static bool session(const struct mapping_source *source, char *out)
{
    static const char mark[] = {MAPPING_SESSION_MARK, '\0'};
    return copy(source->session ? source->session : mark, WORD_BYTES, out);
}

static bool call_id(const struct mapping_source *source, char *out)
{
    log_id_text(source->step->call_id, out);
    return source->step->call_id != 0;
}

static bool capture_id(const struct mapping_source *source, char *out)
{
    log_id_text(source->step->capture_id, out);
    return true;
}

static bool attempt(const struct mapping_source *source, char *out)
{
    return snprintf(out, WORD_BYTES, "%u", source->step->attempt) > 0;
}

static bool idempotency_key(const struct mapping_source *source, char *out)
{
    connector_step_key(source->step, out);
    return true;
}

static bool capture_now(const struct mapping_source *source, char *out)
{
    return snprintf(out, WORD_BYTES, "%s", source->step->is_authorise_only ? "false" : "true") > 0;
}

static bool interval_count(const struct mapping_source *source, char *out)
{
    return source->step->interval_count > 0 &&
           snprintf(out, WORD_BYTES, "%u", source->step->interval_count) > 0;
}

static bool interval_unit(const struct mapping_source *source, char *out)
{
    static const char *const names[INTERVALS] = {"", "day", "week", "month", "year"};
    return source->step->interval_unit < INTERVALS &&
           copy(names[source->step->interval_unit], LIMIT_NAME_BYTES, out);
}

static const struct word words[] = {
    {"card.number", card_number, OF(TOKENISE), IS_CARD},
    {"card.cvv", card_cvv, OF(TOKENISE), IS_CARD | IS_OPTIONAL},
    {"card.expiry_month", card_expiry_month, OF(TOKENISE), IS_CARD | MAY_BE_NUMBER},
    {"card.expiry_year2", card_expiry_year2, OF(TOKENISE), IS_CARD | MAY_BE_NUMBER},
    {"card.expiry_year4", card_expiry_year4, OF(TOKENISE), IS_CARD | MAY_BE_NUMBER},
    {"amount.minor", amount_minor, ANY, IS_BARE | MAY_BE_NUMBER},
    {"amount.decimal", amount_decimal, ANY, MAY_BE_NUMBER},
    {"currency", currency, ANY, 0},
    {"currency.lower", currency_lower, ANY, 0},
    {"token", token, OF(CREATE) | OF(CONFIRM) | OF(SUBSCRIBE), 0},
    {"order_ref", order_ref, WITH_ORDER, 0},
    {"session", session, OF(TOKENISE), 0},
    {"customer", customer, ANY, IS_OPTIONAL},
    {"reference", reference, ANY, IS_OPTIONAL},
    {"merchant", merchant, ANY, IS_OPTIONAL},
    {"call_id", call_id, ANY, IS_OPTIONAL},
    {"capture_id", capture_id, ANY, 0},
    {"attempt", attempt, ANY, IS_BARE | MAY_BE_NUMBER},
    {"idempotency_key", idempotency_key, ANY, 0},
    {"capture_now", capture_now, CHARGE, IS_BARE},
    {"plan", plan, OF(SUBSCRIBE), IS_OPTIONAL},
    {"interval_count", interval_count, OF(SUBSCRIBE), IS_OPTIONAL | IS_BARE | MAY_BE_NUMBER},
    {"interval_unit", interval_unit, OF(SUBSCRIBE), IS_OPTIONAL},
};

/* --- values of a file --- */

static const struct word *find_word(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i].name) == length && memcmp(words[i].name, name, length) == 0)
            return &words[i];
    }
    return NULL;
}

/* One piece of a value: a run of constant text, or a {name}. */
struct piece {
    const char *text; /* the run, or the name */
    size_t length;
    bool is_name;
    char type; /* 0, 'n' number, 't' text */
    const struct word *word;
};

/* Takes the next piece off *at. False: a brace that is not closed, or opens nothing. */
static bool next_piece(const char **at, struct piece *piece)
{
    const char *text = *at;
    memset(piece, 0, sizeof(*piece));
    piece->text = text;
    if (text[0] == '{' && text[1] != '{') {
        const char *end = strchr(text, '}');
        if (!end)
            return false;
        piece->is_name = true;
        piece->text = text + 1;
        piece->length = (size_t)(end - text - 1);
        const char *bar = memchr(piece->text, '|', piece->length);
        if (bar) {
            size_t type_length = (size_t)(end - bar - 1);
            bool is_number = type_length == 6 && memcmp(bar + 1, "number", 6) == 0;
            bool is_text = type_length == 4 && memcmp(bar + 1, "text", 4) == 0;
            if (!is_number && !is_text)
                return false;
            piece->type = is_number ? 'n' : 't';
            piece->length = (size_t)(bar - piece->text);
        }
        piece->word = find_word(piece->text, piece->length);
        *at = end + 1;
        return true;
    }
    if (text[0] == '{') { /* a doubled brace is one */
        piece->length = 1;
        *at = text + 2;
        return true;
    }
    piece->length = strcspn(text, "{");
    *at = text + piece->length;
    return true;
}

static const char *check_word(const struct piece *piece, const struct mapping_position *position,
                              bool is_alone)
{
    const struct word *word = piece->word;
    if (!word)
        return "is not a name that a mapping knows";
    if ((word->traits & IS_CARD) && (position->place != MAPPING_IN_BODY || position->is_session))
        return "is of the card and may only stand in the body that carries it, of tokenise";
    if (!(word->operations & 1u << position->operation))
        return "is not there in this operation";
    if (strcmp(word->name, "session") == 0 && (!position->has_session || position->place == MAPPING_IN_PATH))
        return "needs a session: in the same operation, and is not for paths";
    if (piece->type && (!is_alone || position->place != MAPPING_IN_BODY))
        return "has a type, which is for a value of the body that is one name alone";
    if (piece->type == 'n' && !(word->traits & MAY_BE_NUMBER))
        return "cannot be a number";
    return NULL;
}

enum err mapping_value_check(const char *value, const struct mapping_position *position,
                             struct mapping_use *use, char *why, size_t capacity)
{
    if (strlen(value) >= MAPPING_VALUE_BYTES) {
        snprintf(why, capacity, "a value has at most %d bytes", MAPPING_VALUE_BYTES - 1);
        return ERR_SYNTAX;
    }
    for (const char *at = value; *at;) {
        struct piece piece;
        bool is_first = at == value;
        if (!next_piece(&at, &piece)) {
            snprintf(why, capacity, "expected {name}, {name|number} or {name|text}; a brace itself is {{");
            return ERR_SYNTAX;
        }
        const char *wrong = piece.is_name ? check_word(&piece, position, is_first && *at == '\0') : NULL;
        if (wrong) {
            snprintf(why, capacity, "{%.*s} %s", (int)(piece.length < 40 ? piece.length : 40), piece.text,
                     wrong);
            return ERR_SYNTAX;
        }
        use->has_idempotency_key |= piece.word && piece.word->write == idempotency_key;
        use->says_when_to_capture |= piece.word && piece.word->write == capture_now;
    }
    return OK;
}

bool mapping_value_is_bare(const char *value)
{
    struct piece piece;
    const char *at = value;
    if (!*value || !next_piece(&at, &piece) || *at || !piece.word)
        return false;
    return piece.type ? piece.type == 'n' : (piece.word->traits & IS_BARE) != 0;
}

static bool has_control(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    }
    return false;
}

static enum err put_word(const struct piece *piece, const struct mapping_source *source,
                         mapping_piece_h *piece_h, void *writer)
{
    char text[WORD_BYTES] = "";
    enum err err = piece->word->write(source, text) ? OK : ERR_EMPTY;
    bool is_mark = piece->word->write == session && !source->session;
    if (!err && !is_mark && has_control(text))
        err = ERR_RANGE;
    const char *start = text;
    while (!err && piece->type == 'n' && start[0] == '0' && isdigit((unsigned char)start[1]))
        start++; /* 04 is no number */
    if (!err)
        piece_h(writer, start, strlen(start));
    wipe(text, sizeof(text));
    return err;
}

enum err mapping_value_put(const char *value, const struct mapping_source *source, mapping_piece_h *piece_h,
                           void *writer)
{
    bool may_lack_amount =
        source->step->operation == CONNECTOR_SUBSCRIBE || source->step->operation == CONNECTOR_TOKENISE;
    for (const char *at = value; *at;) {
        struct piece piece;
        bool is_first = at == value;
        if (!next_piece(&at, &piece) || (piece.is_name && !piece.word))
            return ERR_SYNTAX;
        if (!piece.is_name) {
            piece_h(writer, piece.text, piece.length);
            continue;
        }
        enum err err = put_word(&piece, source, piece_h, writer);
        /* A subscription's plan may say what it costs, and a card may come before its amount. */
        bool is_optional =
            (piece.word->traits & IS_OPTIONAL) ||
            (may_lack_amount && source->step->amount_minor == 0 &&
             (strncmp(piece.word->name, "amount.", 7) == 0 || strncmp(piece.word->name, "currency", 8) == 0));
        if (err == ERR_EMPTY && !is_optional)
            return ERR_RANGE;
        if (err == ERR_EMPTY && is_first && *at == '\0')
            return ERR_EMPTY;
        if (err && err != ERR_EMPTY)
            return err;
    }
    return OK;
}
