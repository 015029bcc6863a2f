#include "bench/corpus/corpus_result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define POINTS_MAX 1000000
#define FIRST_ROOM 16

const char *const corpus_engine_names[CORPUS_ENGINES] = {"own", "spandsp"};
const unsigned corpus_lookaheads_ms[CORPUS_LOOKAHEADS] = {5, 10, 15, 20, 30};

enum err corpus_points_add(struct corpus_points *points, struct corpus_report_point point)
{
    size_t count = points->count;
    if (count == 0 || (count >= FIRST_ROOM && (count & (count - 1)) == 0)) {
        void *more = realloc(points->points, (count == 0 ? FIRST_ROOM : 2 * count) * sizeof point);
        if (more == NULL)
            return ERR_MEMORY;
        points->points = more;
    }
    points->points[points->count++] = point;
    return OK;
}

void corpus_result_release(struct corpus_result *result)
{
    free(result->path);
    for (int e = 0; e < CORPUS_ENGINES; e++) {
        free(result->heard[e].hits.points);
        free(result->heard[e].mistaken.points);
    }
    memset(result, 0, sizeof *result);
}

/* ------------------------------------------------------------------ to JSON */

static double rounded(double value)
{
    return round(value * 1000) / 1000;
}

static json_t *points_json(const struct corpus_points *points)
{
    json_t *list = json_array();
    for (size_t i = 0; i < points->count; i++)
        json_array_append_new(list, json_pack("[f,f,f]", rounded(points->points[i].level_dbm0),
                                              rounded(points->points[i].length_ms),
                                              rounded(points->points[i].latency_ms)));
    return list;
}

static json_t *heard_json(const struct corpus_heard *heard)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:o,s:o}", "missed", (json_int_t)heard->missed, "wrong",
                     (json_int_t)heard->wrong, "doubled", (json_int_t)heard->doubled, "false",
                     (json_int_t)heard->false_digits, "hits", points_json(&heard->hits), "mistaken",
                     points_json(&heard->mistaken));
}

static json_t *masked_json(const struct corpus_masked *masked)
{
    return json_pack("[f,I,I,f]", rounded(masked->speech_masked_s), (json_int_t)masked->spans,
                     (json_int_t)masked->keys_leaked, rounded(masked->leaked_ms));
}

json_t *corpus_result_json(const struct corpus_result *result)
{
    json_t *heard = json_object();
    json_t *masked = json_array();
    for (int e = 0; e < CORPUS_ENGINES; e++)
        json_object_set_new(heard, corpus_engine_names[e], heard_json(&result->heard[e]));
    for (int p = 0; p < CORPUS_PASSES; p++)
        json_array_append_new(masked, masked_json(&result->masked[p]));
    /* A name may be any bytes; what is not UTF-8 cannot be written down, and is judged again. */
    json_t *path = json_string(result->path);
    return json_pack("{s:o,s:I,s:I,s:I,s:b,s:I,s:f,s:f,s:o,s:o}", "path", path ? path : json_string(""),
                     "bytes", (json_int_t)result->size_bytes, "changed_ns", (json_int_t)result->changed_ns,
                     "labels_changed_ns", (json_int_t)result->labels_changed_ns, "labelled",
                     (int)result->has_labels, "keys", (json_int_t)result->keys, "length_s",
                     rounded(result->length_s), "active_s", rounded(result->active_s), "heard", heard,
                     "masked", masked);
}

/* ------------------------------------------------------------------ from JSON */

static bool take_count(const json_t *json, uint32_t *out)
{
    if (!json_is_integer(json) || json_integer_value(json) < 0 || json_integer_value(json) > POINTS_MAX)
        return false;
    *out = (uint32_t)json_integer_value(json);
    return true;
}

static bool take_value(const json_t *json, double least, double most, double *out)
{
    *out = json_number_value(json);
    return json_is_number(json) && *out >= least && *out <= most;
}

static enum err take_points(const json_t *list, struct corpus_points *points)
{
    if (!json_is_array(list) || json_array_size(list) > POINTS_MAX)
        return ERR_SYNTAX;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        double level = 0;
        double length = 0;
        double latency = 0;
        if (json_array_size(item) != 3 || !take_value(json_array_get(item, 0), -200, 20, &level) ||
            !take_value(json_array_get(item, 1), 0, 1e8, &length) ||
            !take_value(json_array_get(item, 2), -1e4, 1e4, &latency))
            return ERR_SYNTAX;
        enum err err = corpus_points_add(
            points, (struct corpus_report_point){(float)level, (float)length, (float)latency});
        if (err)
            return err;
    }
    return OK;
}

static enum err take_heard(const json_t *json, struct corpus_heard *heard)
{
    if (!take_count(json_object_get(json, "missed"), &heard->missed) ||
        !take_count(json_object_get(json, "wrong"), &heard->wrong) ||
        !take_count(json_object_get(json, "doubled"), &heard->doubled) ||
        !take_count(json_object_get(json, "false"), &heard->false_digits))
        return ERR_SYNTAX;
    enum err err = take_points(json_object_get(json, "hits"), &heard->hits);
    return err ? err : take_points(json_object_get(json, "mistaken"), &heard->mistaken);
}

static bool take_masked(const json_t *json, struct corpus_masked *masked)
{
    return json_array_size(json) == 4 &&
           take_value(json_array_get(json, 0), 0, 1e6, &masked->speech_masked_s) &&
           take_count(json_array_get(json, 1), &masked->spans) &&
           take_count(json_array_get(json, 2), &masked->keys_leaked) &&
           take_value(json_array_get(json, 3), 0, 1e9, &masked->leaked_ms);
}

static bool take_head(struct corpus_result *out, const json_t *json)
{
    const json_t *bytes = json_object_get(json, "bytes");
    const json_t *changed = json_object_get(json, "changed_ns");
    const json_t *labels = json_object_get(json, "labels_changed_ns");
    const json_t *labelled = json_object_get(json, "labelled");
    if (!json_is_integer(bytes) || !json_is_integer(changed) || !json_is_integer(labels) ||
        !json_is_boolean(labelled) || json_integer_value(bytes) < 0)
        return false;
    out->size_bytes = (uint64_t)json_integer_value(bytes);
    out->changed_ns = json_integer_value(changed);
    out->labels_changed_ns = json_integer_value(labels);
    out->has_labels = json_is_true(labelled);
    return take_count(json_object_get(json, "keys"), &out->keys) &&
           take_value(json_object_get(json, "length_s"), 0, 1e6, &out->length_s) &&
           take_value(json_object_get(json, "active_s"), 0, 1e6, &out->active_s);
}

enum err corpus_result_of_json(struct corpus_result *out, json_t *json)
{
    memset(out, 0, sizeof *out);
    const char *path = json_string_value(json_object_get(json, "path"));
    const json_t *heard = json_object_get(json, "heard");
    const json_t *masked = json_object_get(json, "masked");
    if (path == NULL || !take_head(out, json) || json_array_size(masked) != CORPUS_PASSES)
        return ERR_SYNTAX;
    out->path = strdup(path);
    if (out->path == NULL)
        return ERR_MEMORY;
    for (int e = 0; e < CORPUS_ENGINES; e++) {
        enum err err = take_heard(json_object_get(heard, corpus_engine_names[e]), &out->heard[e]);
        if (err)
            return err;
    }
    for (size_t p = 0; p < CORPUS_PASSES; p++)
        if (!take_masked(json_array_get(masked, p), &out->masked[p]))
            return ERR_SYNTAX;
    return OK;
}
