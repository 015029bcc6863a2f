#include "proxy/sip/sip_message.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/secret.h"
#include "proxy/sip/sip_headers.h"

#include <ctype.h>
#include <event2/event.h>
#include <malloc.h>
#include <osipparser2/osip_port.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

/* --- memory --- */

static void wiping_free(void *memory)
{
    if (memory)
        wipe(memory, malloc_usable_size(memory));
    free(memory);
}

static void *wiping_realloc(void *memory, size_t size)
{
    if (!memory)
        return malloc(size);
    size_t old = malloc_usable_size(memory);
    if (size <= old)
        return memory;
    void *fresh = malloc(size);
    if (!fresh)
        return NULL;
    memcpy(fresh, memory, old);
    wiping_free(memory);
    return fresh;
}

enum err sip_message_init(void)
{
    osip_set_allocators(malloc, wiping_realloc, wiping_free);
    sip_headers_start();
    return OK;
}

void sip_message_wipe_events(void)
{
    event_set_mem_functions(malloc, wiping_realloc, wiping_free);
}

void sip_random_text(char *out)
{
    uint64_t random;
    ASSERT(getrandom(&random, sizeof(random), 0) == sizeof(random));
    log_id_text(random, out);
}

/* --- reading --- */

bool sip_is(const osip_message_t *message, const char *method)
{
    const char *name = MSG_IS_REQUEST(message) ? message->sip_method
                       : message->cseq         ? message->cseq->method
                                               : NULL;
    return name && strcmp(name, method) == 0;
}

uint32_t sip_cseq(const osip_message_t *message)
{
    return message->cseq && message->cseq->number ? (uint32_t)strtoul(message->cseq->number, NULL, 10) : 0;
}

osip_generic_param_t *sip_parameter(const osip_list_t *parameters, const char *name)
{
    for (int i = 0; i < osip_list_size(parameters); i++) {
        osip_generic_param_t *parameter = osip_list_get(parameters, i);
        if (parameter->gname && strcasecmp(parameter->gname, name) == 0)
            return parameter;
    }
    return NULL;
}

static const char *tag_of(const osip_from_t *party)
{
    const osip_generic_param_t *tag = party ? sip_parameter(&party->gen_params, "tag") : NULL;
    return tag && tag->gvalue ? tag->gvalue : "";
}

const char *sip_from_tag(const osip_message_t *message)
{
    return tag_of(message->from);
}

const char *sip_to_tag(const osip_message_t *message)
{
    return tag_of(message->to);
}

const char *sip_header(const osip_message_t *message, const char *name)
{
    for (int i = 0; i < osip_list_size(&message->headers); i++) {
        const osip_header_t *header = osip_list_get(&message->headers, i);
        if (header->hname && strcasecmp(header->hname, name) == 0)
            return header->hvalue ? header->hvalue : "";
    }
    return NULL;
}

enum err sip_call_id(const osip_message_t *message, char *out, size_t capacity)
{
    const osip_call_id_t *id = message->call_id;
    if (!id || !id->number)
        return ERR_SYNTAX;
    int length = snprintf(out, capacity, "%s%s%s", id->number, id->host ? "@" : "", id->host ? id->host : "");
    return length > 0 && (size_t)length < capacity ? OK : ERR_LENGTH;
}

const char *sip_body(const osip_message_t *message, size_t *length, char *type, size_t type_capacity)
{
    *length = 0;
    type[0] = '\0';
    const osip_body_t *body = osip_list_get(&message->bodies, 0);
    if (!body || !body->body || body->length == 0)
        return NULL;
    if (message->content_type && message->content_type->type && message->content_type->subtype)
        snprintf(type, type_capacity, "%s/%s", message->content_type->type, message->content_type->subtype);
    for (char *c = type; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    *length = body->length;
    return body->body;
}

/* --- writing --- */

const char *sip_reason(int status)
{
    const char *reason = osip_message_get_reason(status);
    return reason ? reason : "Unknown";
}

static enum err copy_vias(const osip_message_t *from, osip_message_t *to)
{
    for (int i = 0; i < osip_list_size(&from->vias); i++) {
        osip_via_t *copy = NULL;
        if (osip_via_clone(osip_list_get(&from->vias, i), &copy) != 0)
            return ERR_MEMORY;
        if (osip_list_add(&to->vias, copy, -1) < 0) {
            osip_via_free(copy);
            return ERR_MEMORY;
        }
    }
    return OK;
}

static enum err copy_record_routes(const osip_message_t *from, osip_message_t *to)
{
    for (int i = 0; i < osip_list_size(&from->record_routes); i++) {
        char *text = NULL;
        if (osip_record_route_to_str(osip_list_get(&from->record_routes, i), &text) != 0)
            return ERR_MEMORY;
        int result = osip_message_set_record_route(to, text);
        osip_free(text);
        if (result != 0)
            return ERR_MEMORY;
    }
    return OK;
}

static enum err fill_response(osip_message_t *response, const osip_message_t *request, int status,
                              const char *to_tag)
{
    osip_message_set_version(response, osip_strdup("SIP/2.0"));
    osip_message_set_status_code(response, status);
    osip_message_set_reason_phrase(response, osip_strdup(sip_reason(status)));
    if (osip_from_clone(request->from, &response->from) != 0 ||
        osip_to_clone(request->to, &response->to) != 0 ||
        osip_call_id_clone(request->call_id, &response->call_id) != 0 ||
        osip_cseq_clone(request->cseq, &response->cseq) != 0 || copy_vias(request, response))
        return ERR_MEMORY;
    if (status > 100 && to_tag && !*tag_of(response->to)) {
        char *tag = osip_strdup(to_tag);
        if (!tag)
            return ERR_MEMORY;
        osip_to_set_tag(response->to, tag);
    }
    if (status > 100 && status < 300 && sip_is(request, "INVITE"))
        return copy_record_routes(request, response);
    return OK;
}

osip_message_t *sip_message_response(const osip_message_t *request, int status, const char *to_tag)
{
    osip_message_t *response = NULL;
    if (osip_message_init(&response) != 0)
        return NULL;
    if (fill_response(response, request, status, to_tag)) {
        osip_message_free(response);
        return NULL;
    }
    return response;
}

static enum err fill_request(osip_message_t *request, const char *method, const char *uri_text,
                             const char *from, const char *to, const char *call_id, uint32_t cseq)
{
    char cseq_text[64];
    osip_uri_t *uri = NULL;
    snprintf(cseq_text, sizeof(cseq_text), "%u %s", cseq, method);
    if (osip_uri_init(&uri) != 0)
        return ERR_MEMORY;
    if (osip_uri_parse(uri, uri_text) != 0) {
        osip_uri_free(uri);
        return ERR_SYNTAX;
    }
    osip_message_set_uri(request, uri);
    osip_message_set_method(request, osip_strdup(method));
    osip_message_set_version(request, osip_strdup("SIP/2.0"));
    if (osip_message_set_from(request, from) != 0 || osip_message_set_to(request, to) != 0 ||
        osip_message_set_call_id(request, call_id) != 0 || osip_message_set_cseq(request, cseq_text) != 0)
        return ERR_SYNTAX;
    return OK;
}

osip_message_t *sip_message_request(const char *method, const char *uri, const char *from, const char *to,
                                    const char *call_id, uint32_t cseq)
{
    osip_message_t *request = NULL;
    if (osip_message_init(&request) != 0)
        return NULL;
    if (fill_request(request, method, uri, from, to, call_id, cseq)) {
        osip_message_free(request);
        return NULL;
    }
    return request;
}

enum err sip_message_text(osip_message_t *message, char **text, size_t *length)
{
    osip_message_force_update(message);
    if (osip_message_to_str(message, text, length) != 0)
        return ERR_MEMORY;
    if (*length <= LIMIT_SIP_UDP_BYTES)
        return OK;
    sip_text_free(*text, *length);
    *text = NULL;
    return ERR_LENGTH;
}

void sip_text_free(char *text, size_t length)
{
    if (text)
        wipe(text, length);
    osip_free(text);
}
