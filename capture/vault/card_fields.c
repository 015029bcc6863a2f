#include "capture/vault/card_fields.h"

#include "base/card_shape.h"
#include "base/secret.h"
#include "capture/vault/card.h"

#include <stdlib.h>

struct card_fields {
    struct secret *held[CARD_FIELDS];
    struct capture_field_view views[CARD_FIELDS];
    uint8_t problems[CARD_FIELDS]; /* enum capture_problem */
    enum card_field selected;
    enum card_field keyed_last;
    enum card_brand brand;
    uint32_t brands;
    uint64_t ignored;
};

enum err card_fields_new(struct card_fields **out, uint32_t brands)
{
    *out = NULL;
    static const size_t capacities[CARD_FIELDS] = {LIMIT_PAN_DIGITS, LIMIT_EXPIRY_DIGITS, LIMIT_CVV_DIGITS};
    struct card_fields *fields = calloc(1, sizeof(*fields));
    if (!fields)
        return ERR_MEMORY;
    fields->brands = brands;
    for (int i = 0; i < CARD_FIELDS; i++) {
        enum err err = secret_new(&fields->held[i], capacities[i]);
        if (err) {
            card_fields_free(fields);
            return err;
        }
    }
    card_fields_wipe(fields);
    *out = fields;
    return OK;
}

void card_fields_free(struct card_fields *fields)
{
    if (!fields)
        return;
    for (int i = 0; i < CARD_FIELDS; i++)
        secret_free(fields->held[i]);
    wipe(fields, sizeof(*fields));
    free(fields);
}

static void clear(struct card_fields *fields, enum card_field field)
{
    secret_wipe(fields->held[field]);
    fields->problems[field] = PROBLEM_NONE;
    if (field == CARD_NUMBER)
        fields->brand = BRAND_UNKNOWN;
    uint8_t key_max = field == CARD_EXPIRY ? LIMIT_EXPIRY_DIGITS : 0;
    if (field == CARD_CVV)
        key_max = (uint8_t)card_cvv_length(fields->brand);
    fields->views[field] = (struct capture_field_view){0, key_max, 0, 0};
}

static void conclude(struct card_fields *fields, enum card_field field, enum capture_problem problem)
{
    fields->views[field].is_complete = 1;
    fields->views[field].is_valid = problem == PROBLEM_NONE;
    fields->problems[field] = (uint8_t)problem;
}

static void reopen(struct card_fields *fields, enum card_field field)
{
    fields->views[field].is_complete = 0;
    fields->views[field].is_valid = 0;
    fields->problems[field] = PROBLEM_NONE;
}

static enum capture_problem number_check(const struct card_fields *fields)
{
    const uint8_t *digits = secret_bytes(fields->held[CARD_NUMBER]);
    size_t count = secret_length(fields->held[CARD_NUMBER]);
    const struct card_range *range = card_range_find(digits, count);
    if (!card_length_is_legal(range, count) || !card_shape_check_digit_fits(digits, count))
        return PROBLEM_NUMBER_INVALID;
    return fields->brands >> fields->brand & 1 ? PROBLEM_NONE : PROBLEM_BRAND_REFUSED;
}

/* is_ended: by '#' or by selecting another field. */
static void judge_number(struct card_fields *fields, bool is_ended)
{
    const uint8_t *digits = secret_bytes(fields->held[CARD_NUMBER]);
    size_t count = secret_length(fields->held[CARD_NUMBER]);
    const struct card_range *range = card_range_find(digits, count);
    size_t longest = card_length_longest(range);
    bool is_usual = range && range->usual_length == count;
    fields->brand = card_brand_find(digits, count);
    fields->views[CARD_NUMBER].key_max = (uint8_t)(!range                         ? 0
                                                   : count <= range->usual_length ? range->usual_length
                                                                                  : longest);
    if (is_usual && range->is_patient && !card_shape_check_digit_fits(digits, count))
        is_usual = false;
    if (is_ended || is_usual || count == longest)
        conclude(fields, CARD_NUMBER, number_check(fields));
    else
        reopen(fields, CARD_NUMBER);
}

static void judge_expiry(struct card_fields *fields, bool is_ended, struct wall_time now)
{
    const struct secret *held = fields->held[CARD_EXPIRY];
    if (secret_length(held) == LIMIT_EXPIRY_DIGITS)
        conclude(fields, CARD_EXPIRY, card_expiry_check(secret_bytes(held), now));
    else if (is_ended)
        conclude(fields, CARD_EXPIRY, PROBLEM_EXPIRY_INVALID);
}

/* Judged again when the brand becomes known: a code of four is right for Amex alone. */
static void judge_cvv(struct card_fields *fields, bool is_ended)
{
    size_t count = secret_length(fields->held[CARD_CVV]);
    size_t wanted = card_cvv_length(fields->brand);
    struct capture_field_view *view = &fields->views[CARD_CVV];
    bool was_complete = view->is_complete;
    view->key_max = (uint8_t)wanted;
    if (count == 0)
        return;
    if (wanted == 0 && (is_ended || was_complete || count == LIMIT_CVV_DIGITS))
        conclude(fields, CARD_CVV, count >= 3 ? PROBLEM_NONE : PROBLEM_CVV_INVALID);
    else if (wanted != 0 && (is_ended || was_complete || count >= wanted))
        conclude(fields, CARD_CVV, count == wanted ? PROBLEM_NONE : PROBLEM_CVV_INVALID);
}

static void judge(struct card_fields *fields, enum card_field field, bool is_ended, struct wall_time now)
{
    fields->views[field].key_count = (uint8_t)secret_length(fields->held[field]);
    if (field == CARD_NUMBER)
        judge_number(fields, is_ended);
    if (field == CARD_EXPIRY)
        judge_expiry(fields, is_ended, now);
    if (field == CARD_CVV || field == CARD_NUMBER)
        judge_cvv(fields, is_ended && field == CARD_CVV);
}

/* The next one that is not yet valid, going round; none when all are. */
static enum card_field next_incomplete(const struct card_fields *fields, enum card_field after)
{
    for (int i = 1; i <= CARD_FIELDS; i++) {
        enum card_field field = (enum card_field)((after + i) % CARD_FIELDS);
        if (!fields->views[field].is_valid)
            return field;
    }
    return CARD_FIELD_NONE;
}

static void advance_if_valid(struct card_fields *fields)
{
    if (fields->views[fields->selected].is_valid)
        fields->selected = next_incomplete(fields, fields->selected);
}

static enum err ignore(struct card_fields *fields)
{
    fields->ignored++;
    return ERR_FULL;
}

/* A number that ended at its usual length and was selected again may become a longer one of its brand. */
static bool may_go_on(const struct card_fields *fields, enum card_field field)
{
    const struct secret *held = fields->held[field];
    return field == CARD_NUMBER &&
           secret_length(held) <
               card_length_longest(card_range_find(secret_bytes(held), secret_length(held)));
}

static enum err key_digit(struct card_fields *fields, uint8_t digit, struct wall_time now)
{
    enum card_field field = fields->selected;
    if (field == CARD_FIELD_NONE || (fields->views[field].is_valid && !may_go_on(fields, field)))
        return ignore(fields);
    if (fields->views[field].is_complete && !fields->views[field].is_valid)
        clear(fields, field);
    if (secret_append(fields->held[field], digit))
        return ignore(fields);
    fields->keyed_last = field;
    judge(fields, field, false, now);
    advance_if_valid(fields);
    return OK;
}

static enum err key_pound(struct card_fields *fields, struct wall_time now)
{
    enum card_field field = fields->selected;
    if (field == CARD_FIELD_NONE || secret_length(fields->held[field]) == 0)
        return ignore(fields);
    judge(fields, field, true, now);
    advance_if_valid(fields);
    return OK;
}

enum err card_fields_key(struct card_fields *fields, dtmf_key key, struct wall_time now)
{
    if (key >= DTMF_KEY_COUNT)
        return ERR_RANGE;
    if (key <= 9)
        return key_digit(fields, key, now);
    if (key == DTMF_KEY_POUND)
        return key_pound(fields, now);
    if (key == DTMF_KEY_STAR) {
        card_fields_clear_selected(fields);
        return OK;
    }
    return ignore(fields); /* A..D */
}

enum err card_fields_select(struct card_fields *fields, enum card_field field, bool is_reset,
                            struct wall_time now)
{
    if ((unsigned)field > CARD_FIELD_NONE)
        return ERR_RANGE;
    enum card_field left = fields->selected;
    if (left != CARD_FIELD_NONE && left != field && secret_length(fields->held[left]) > 0)
        judge(fields, left, true, now);
    if (field != CARD_FIELD_NONE && is_reset)
        clear(fields, field);
    if (field == CARD_NUMBER && is_reset)
        judge_cvv(fields, false);
    fields->selected = field;
    return OK;
}

void card_fields_clear_selected(struct card_fields *fields)
{
    enum card_field field = fields->selected == CARD_FIELD_NONE ? fields->keyed_last : fields->selected;
    if (field >= CARD_FIELDS) /* nothing was ever keyed */
        return;
    clear(fields, field);
    if (field == CARD_NUMBER)
        judge_cvv(fields, false);
    fields->selected = field;
}

void card_fields_wipe(struct card_fields *fields)
{
    for (int i = 0; i < CARD_FIELDS; i++)
        clear(fields, (enum card_field)i);
    fields->selected = CARD_NUMBER;
    fields->keyed_last = CARD_NUMBER;
}

bool card_fields_are_full(const struct card_fields *fields)
{
    return next_incomplete(fields, CARD_NUMBER) == CARD_FIELD_NONE;
}

bool card_fields_are_empty(const struct card_fields *fields)
{
    for (int i = 0; i < CARD_FIELDS; i++) {
        if (secret_length(fields->held[i]) > 0)
            return false;
    }
    return true;
}

enum card_field card_fields_selected(const struct card_fields *fields)
{
    return fields->selected;
}

enum card_brand card_fields_brand(const struct card_fields *fields)
{
    return fields->brand;
}

enum capture_problem card_fields_problem(const struct card_fields *fields)
{
    for (int i = 0; i < CARD_FIELDS; i++) {
        if (fields->problems[i] != PROBLEM_NONE)
            return (enum capture_problem)fields->problems[i];
    }
    return PROBLEM_NONE;
}

uint64_t card_fields_ignored(const struct card_fields *fields)
{
    return fields->ignored;
}

void card_fields_view(const struct card_fields *fields, struct capture_field_view views[CARD_FIELDS])
{
    for (int i = 0; i < CARD_FIELDS; i++)
        views[i] = fields->views[i];
}

static void copy_digits(uint8_t *to, const struct secret *held)
{
    const uint8_t *digits = secret_bytes(held);
    for (size_t i = 0; i < secret_length(held); i++)
        to[i] = digits[i];
}

enum err card_fields_fill(const struct card_fields *fields, struct gateway_tokenise_msg *message)
{
    if (!card_fields_are_full(fields))
        return ERR_ORDER;
    const uint8_t *expiry = secret_bytes(fields->held[CARD_EXPIRY]);
    message->number_length = (uint8_t)secret_length(fields->held[CARD_NUMBER]);
    message->cvv_length = (uint8_t)secret_length(fields->held[CARD_CVV]);
    message->expiry_month = (uint8_t)(expiry[0] * 10 + expiry[1]);
    message->expiry_year = (uint8_t)(expiry[2] * 10 + expiry[3]);
    copy_digits(message->number, fields->held[CARD_NUMBER]);
    copy_digits(message->cvv, fields->held[CARD_CVV]);
    return OK;
}

#define SHOW_DIGITS 6

/* text: SHOW_DIGITS characters at least. */
static bool window_is_in(const struct secret *held, const char *text)
{
    const uint8_t *digits = secret_bytes(held);
    for (size_t start = 0; start + SHOW_DIGITS <= secret_length(held); start++) {
        size_t same = 0;
        while (same < SHOW_DIGITS && text[same] == '0' + digits[start + same])
            same++;
        if (same == SHOW_DIGITS)
            return true;
    }
    return false;
}

bool card_fields_show_in(const struct card_fields *fields, const char *text)
{
    size_t run = 0;
    for (const char *c = text; *c; c++) {
        run = *c >= '0' && *c <= '9' ? run + 1 : 0;
        if (run >= SHOW_DIGITS && window_is_in(fields->held[CARD_NUMBER], c - (SHOW_DIGITS - 1)))
            return true;
    }
    return false;
}
