#include "capture/desk/desk_model.h"

#include <stdlib.h>
#include <string.h>

enum err desk_model_new(struct desk_model *model, size_t calls, size_t captures)
{
    *model = (struct desk_model){.call_capacity = calls, .capture_capacity = captures};
    model->calls = calloc(calls, sizeof(*model->calls));
    model->call_ids = calloc(calls, sizeof(*model->call_ids));
    model->captures = calloc(captures, sizeof(*model->captures));
    model->capture_ids = calloc(captures, sizeof(*model->capture_ids));
    if (model->calls && model->call_ids && model->captures && model->capture_ids)
        return OK;
    desk_model_free(model);
    return ERR_MEMORY;
}

void desk_model_free(struct desk_model *model)
{
    free(model->calls);
    free(model->call_ids);
    free(model->captures);
    free(model->capture_ids);
    *model = (struct desk_model){0};
}

/* capacity when it is not there. id 0 finds a free place. */
static size_t find(const uint64_t *ids, size_t capacity, uint64_t id)
{
    ASSERT(ids);
    size_t i = 0;
    while (i < capacity && ids[i] != id)
        i++;
    return i;
}

struct desk_call *desk_model_call(const struct desk_model *model, uint64_t id)
{
    ASSERT(model->calls);
    size_t i = id ? find(model->call_ids, model->call_capacity, id) : model->call_capacity;
    return i < model->call_capacity ? &model->calls[i] : NULL;
}

struct desk_call *desk_model_call_put(struct desk_model *model, uint64_t id)
{
    struct desk_call *call = desk_model_call(model, id);
    if (call || id == 0)
        return call;
    size_t i = find(model->call_ids, model->call_capacity, 0);
    if (i == model->call_capacity)
        return NULL;
    model->call_ids[i] = id;
    model->calls[i] = (struct desk_call){.id = id};
    model->call_count++;
    return &model->calls[i];
}

void desk_model_call_remove(struct desk_model *model, uint64_t id)
{
    size_t i = id ? find(model->call_ids, model->call_capacity, id) : model->call_capacity;
    if (i == model->call_capacity)
        return;
    model->call_ids[i] = 0;
    model->call_count--;
}

struct desk_capture *desk_model_capture(const struct desk_model *model, uint64_t id)
{
    ASSERT(model->captures);
    size_t i = id ? find(model->capture_ids, model->capture_capacity, id) : model->capture_capacity;
    return i < model->capture_capacity ? &model->captures[i] : NULL;
}

static size_t oldest_ended(const struct desk_model *model)
{
    size_t oldest = model->capture_capacity;
    for (size_t i = 0; i < model->capture_capacity; i++) {
        const struct store_capture *record = &model->captures[i].record;
        if (!model->capture_ids[i] || !model->captures[i].is_end_stored || model->captures[i].is_masked ||
            !capture_state_is_end(record->state))
            continue;
        if (oldest == model->capture_capacity ||
            record->updated_at.ns < model->captures[oldest].record.updated_at.ns)
            oldest = i;
    }
    return oldest;
}

struct desk_capture *desk_model_capture_put(struct desk_model *model, uint64_t id)
{
    if (id == 0 || desk_model_capture(model, id))
        return NULL;
    size_t i = find(model->capture_ids, model->capture_capacity, 0);
    if (i == model->capture_capacity)
        i = oldest_ended(model);
    if (i == model->capture_capacity)
        return NULL;
    model->capture_ids[i] = id;
    model->captures[i] = (struct desk_capture){
        .record.id = id, .selected_field = CARD_FIELD_NONE, .stored_state = CAPTURE_STATES};
    return &model->captures[i];
}

void desk_model_capture_remove(struct desk_model *model, uint64_t id)
{
    size_t i = id ? find(model->capture_ids, model->capture_capacity, id) : model->capture_capacity;
    if (i < model->capture_capacity)
        model->capture_ids[i] = 0;
}

struct desk_capture *desk_model_capture_of(const struct desk_model *model, uint64_t call_id)
{
    struct desk_capture *newest = NULL;
    for (size_t i = 0; i < model->capture_capacity; i++) {
        struct desk_capture *capture = &model->captures[i];
        if (!model->capture_ids[i] || capture->record.call_id != call_id ||
            capture_state_is_end(capture->record.state))
            continue;
        if (!newest || capture->record.created_at.ns > newest->record.created_at.ns)
            newest = capture;
    }
    return newest;
}

static bool is_named(const char *wanted, const char *text)
{
    return !wanted[0] || strcmp(wanted, text) == 0;
}

size_t desk_model_calls_named(const struct desk_model *model, const char *reference, const char *callee,
                              struct desk_call **found)
{
    size_t count = 0;
    for (size_t i = 0; i < model->call_capacity; i++) {
        struct desk_call *call = &model->calls[i];
        if (!model->call_ids[i] || call->state == PROXY_CALL_ENDED || !is_named(reference, call->reference) ||
            !is_named(callee, call->callee))
            continue;
        *found = call;
        count++;
    }
    return count;
}
