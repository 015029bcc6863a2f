/* What the gateway role says of its gateways: kept, shown at /v1/gateways and /metrics, and in one word to the page. */
#include "capture/desk/desk_priv.h"

#include "base/card_shape.h"
#include "gateway/order_msg.h"

#include <stdio.h>
#include <string.h>

static const char *const breaker_names[] = {"closed", "open", "half_open"};
static const char *const outcome_names[GATEWAY_OUTCOMES] = {"done", "declined", "failed", "unavailable",
                                                            "no_answer"};
#define BREAKER_NAMES (sizeof(breaker_names) / sizeof(breaker_names[0]))

/* A gateway that was never told of has no header. */
static bool is_known(const struct gateway_health_msg *health)
{
    return health->header.type == GATEWAY_HEALTH;
}

enum err desk_gateways_take(struct desk *desk, const struct gateway_health_msg *health)
{
    const char *payments = desk_gateways_payments(desk);
    size_t length = strnlen(health->connector, sizeof(health->connector));
    if (health->gateway_index >= LIMIT_GATEWAYS || health->breaker_state >= BREAKER_NAMES ||
        health->is_off > 1 || length == 0 || length == sizeof(health->connector) ||
        strspn(health->connector, "abcdefghijklmnopqrstuvwxyz0123456789_-") != length ||
        card_shape_within(health->connector))
        return ERR_RANGE;
    struct gateway_health_msg *known = &desk->gateways[health->gateway_index];
    bool is_changed = !is_known(known) || known->breaker_state != health->breaker_state;
    *known = *health;
    if (is_changed || strcmp(payments, desk_gateways_payments(desk)) != 0)
        desk_publish_service(desk);
    return OK;
}

void desk_gateways_forget(struct desk *desk)
{
    memset(desk->gateways, 0, sizeof(desk->gateways));
}

const char *desk_gateways_payments(const struct desk *desk)
{
    bool is_any = false, is_off = true, is_open = false;
    for (size_t i = 0; i < LIMIT_GATEWAYS; i++) {
        const struct gateway_health_msg *health = &desk->gateways[i];
        if (!is_known(health))
            continue;
        is_any = true;
        is_off = is_off && health->is_off;
        is_open = is_open || (!health->is_off && health->breaker_state != 1);
    }
    return !is_any || is_open ? "open" : is_off ? "off" : "held";
}

static json_t *gateway_json(const struct gateway_health_msg *health)
{
    json_t *steps = json_object();
    for (size_t i = 0; i < GATEWAY_OUTCOMES; i++)
        json_object_set_new(steps, outcome_names[i], json_integer((json_int_t)health->steps[i]));
    return json_pack("{s:i,s:s,s:b,s:s,s:I,s:I,s:I,s:I,s:o}", "index", health->gateway_index, "connector",
                     health->connector, "enabled", !health->is_off, "breaker",
                     breaker_names[health->breaker_state], "opened", (json_int_t)health->opened, "slow",
                     (json_int_t)health->slow, "exchanges", (json_int_t)health->exchanges, "average_ms",
                     (json_int_t)health->average_ms, "steps", steps);
}

json_t *desk_gateways_short(const struct desk *desk)
{
    json_t *list = json_array();
    for (size_t i = 0; i < LIMIT_GATEWAYS; i++) {
        const struct gateway_health_msg *health = &desk->gateways[i];
        if (is_known(health))
            json_array_append_new(list,
                                  json_pack("{s:s,s:s,s:b}", "connector", health->connector, "breaker",
                                            breaker_names[health->breaker_state], "off", health->is_off));
    }
    return list;
}

json_t *desk_gateways_json(const struct desk *desk)
{
    json_t *list = json_array();
    for (size_t i = 0; i < LIMIT_GATEWAYS; i++) {
        if (is_known(&desk->gateways[i]))
            json_array_append_new(list, gateway_json(&desk->gateways[i]));
    }
    return json_pack("{s:s,s:o}", "payments", desk_gateways_payments(desk), "gateways", list);
}

static void metrics_of(FILE *out, const struct gateway_health_msg *health)
{
    unsigned at = health->gateway_index;
    const char *name = health->connector;
    for (size_t i = 0; i < GATEWAY_OUTCOMES; i++)
        fprintf(out, "tonegate_gateway_steps_total{gateway=\"%u\",connector=\"%s\",outcome=\"%s\"} %llu\n",
                at, name, outcome_names[i], (unsigned long long)health->steps[i]);
    fprintf(out, "tonegate_gateway_breaker_state{gateway=\"%u\",connector=\"%s\"} %u\n", at, name,
            health->breaker_state);
    fprintf(out, "tonegate_gateway_breaker_opened_total{gateway=\"%u\",connector=\"%s\"} %u\n", at, name,
            health->opened);
    fprintf(out, "tonegate_gateway_slow_steps_total{gateway=\"%u\",connector=\"%s\"} %u\n", at, name,
            health->slow);
    fprintf(out, "tonegate_gateway_exchanges_total{gateway=\"%u\",connector=\"%s\"} %llu\n", at, name,
            (unsigned long long)health->exchanges);
    fprintf(out, "tonegate_gateway_exchange_seconds_average{gateway=\"%u\",connector=\"%s\"} %.3f\n", at,
            name, (double)health->average_ms / 1e3);
    fprintf(out, "tonegate_gateway_enabled{gateway=\"%u\",connector=\"%s\"} %d\n", at, name, !health->is_off);
}

size_t desk_gateways_metrics(const struct desk *desk, char *text, size_t capacity)
{
    FILE *out = fmemopen(text, capacity, "w");
    if (!out)
        return 0;
    fputs("# TYPE tonegate_gateway_steps_total counter\n"
          "# TYPE tonegate_gateway_breaker_state gauge\n"
          "# TYPE tonegate_gateway_breaker_opened_total counter\n"
          "# TYPE tonegate_gateway_slow_steps_total counter\n"
          "# TYPE tonegate_gateway_exchanges_total counter\n"
          "# TYPE tonegate_gateway_exchange_seconds_average gauge\n"
          "# TYPE tonegate_gateway_enabled gauge\n",
          out);
    for (size_t i = 0; i < LIMIT_GATEWAYS; i++) {
        if (is_known(&desk->gateways[i]))
            metrics_of(out, &desk->gateways[i]);
    }
    long length = ftell(out);
    fclose(out);
    return length > 0 && (size_t)length < capacity ? (size_t)length : 0;
}
