#include "proxy/sip/sip_dialog.h"

#include "proxy/sip/sip_message.h"
#include "proxy/sip/sip_rate.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static enum err keep_text(char *to, size_t capacity, const char *text)
{
    if (strlen(text) >= capacity)
        return ERR_LENGTH;
    snprintf(to, capacity, "%s", text);
    return OK;
}

/* Name and URI without header parameters (the tag). */
static enum err keep_party(char *to, const osip_from_t *party)
{
    char *uri = NULL;
    if (!party || !party->url || osip_uri_to_str(party->url, &uri) != 0)
        return ERR_SYNTAX;
    const char *name = party->displayname ? party->displayname : "";
    int length = snprintf(to, LIMIT_SIP_PARTY_BYTES, "%s%s<%s>", name, *name ? " " : "", uri);
    osip_free(uri);
    return length > 0 && length < LIMIT_SIP_PARTY_BYTES ? OK : ERR_LENGTH;
}

static enum err keep_target(struct sip_dialog *dialog, const osip_message_t *message)
{
    const osip_contact_t *contact = osip_list_get(&message->contacts, 0);
    char *uri = NULL;
    if (!contact || !contact->url || osip_uri_to_str(contact->url, &uri) != 0)
        return ERR_SYNTAX;
    enum err err = keep_text(dialog->remote_target, sizeof(dialog->remote_target), uri);
    osip_free(uri);
    return err;
}

/* is_reversed: a response's Record-Route is read from the far end (RFC 3261 §12.1.2). */
static enum err keep_routes(struct sip_dialog *dialog, const osip_message_t *message, bool is_reversed)
{
    int count = osip_list_size(&message->record_routes);
    if (count > LIMIT_SIP_ROUTES)
        return ERR_LENGTH;
    dialog->route_count = 0;
    for (int i = 0; i < count; i++) {
        char *text = NULL;
        if (osip_record_route_to_str(osip_list_get(&message->record_routes, is_reversed ? count - 1 - i : i),
                                     &text) != 0)
            return ERR_MEMORY;
        enum err err = keep_text(dialog->routes[dialog->route_count++], LIMIT_SIP_URI_BYTES, text);
        osip_free(text);
        if (err)
            return err;
    }
    return OK;
}

enum err sip_dialog_from_request(struct sip_dialog *dialog, const osip_message_t *invite,
                                 enum config_trunk_name trunk, const char *local_tag)
{
    *dialog = (struct sip_dialog){.trunk = trunk, .remote_cseq = sip_cseq(invite), .has_remote_cseq = 1};
    enum err err = sip_call_id(invite, dialog->call_id, sizeof(dialog->call_id));
    if (!err)
        err = keep_text(dialog->local_tag, sizeof(dialog->local_tag), local_tag);
    if (!err)
        err = keep_text(dialog->remote_tag, sizeof(dialog->remote_tag), sip_from_tag(invite));
    if (!err)
        err = keep_party(dialog->local_party, invite->to);
    if (!err)
        err = keep_party(dialog->remote_party, invite->from);
    if (!err)
        err = keep_target(dialog, invite);
    return err ? err : keep_routes(dialog, invite, false);
}

enum err sip_dialog_from_invite(struct sip_dialog *dialog, const osip_message_t *invite,
                                enum config_trunk_name trunk)
{
    *dialog = (struct sip_dialog){.trunk = trunk, .local_cseq = sip_cseq(invite)};
    char *uri = NULL;
    enum err err = sip_call_id(invite, dialog->call_id, sizeof(dialog->call_id));
    if (!err)
        err = keep_text(dialog->local_tag, sizeof(dialog->local_tag), sip_from_tag(invite));
    if (!err)
        err = keep_party(dialog->local_party, invite->from);
    if (!err)
        err = keep_party(dialog->remote_party, invite->to);
    if (!err && osip_uri_to_str(invite->req_uri, &uri) != 0)
        err = ERR_MEMORY;
    if (!err)
        err = keep_text(dialog->remote_target, sizeof(dialog->remote_target), uri);
    osip_free(uri);
    return err;
}

enum err sip_dialog_from_response(struct sip_dialog *dialog, const osip_message_t *response)
{
    struct sip_dialog fresh = *dialog;
    enum err err = keep_text(fresh.remote_tag, sizeof(fresh.remote_tag), sip_to_tag(response));
    if (!err && *fresh.remote_tag == '\0')
        err = ERR_SYNTAX;
    if (!err && osip_list_size(&response->contacts) > 0)
        err = keep_target(&fresh, response);
    if (!err)
        err = keep_routes(&fresh, response, true);
    if (!err)
        *dialog = fresh;
    return err;
}

enum err sip_dialog_from_answer(struct sip_dialog *dialog, const osip_message_t *response,
                                enum config_trunk_name trunk)
{
    *dialog = (struct sip_dialog){.trunk = trunk, .local_cseq = sip_cseq(response)};
    enum err err = sip_call_id(response, dialog->call_id, sizeof(dialog->call_id));
    if (!err)
        err = keep_text(dialog->local_tag, sizeof(dialog->local_tag), sip_from_tag(response));
    if (!err)
        err = keep_party(dialog->local_party, response->from);
    if (!err)
        err = keep_party(dialog->remote_party, response->to);
    if (!err)
        err = keep_target(dialog, response);
    return err ? err : sip_dialog_from_response(dialog, response);
}

bool sip_dialog_is_same(const struct sip_dialog *dialog, const struct sip_dialog *other)
{
    return strcmp(dialog->call_id, other->call_id) == 0 && strcmp(dialog->local_tag, other->local_tag) == 0 &&
           strcmp(dialog->remote_tag, other->remote_tag) == 0;
}

enum err sip_dialog_receive(struct sip_dialog *dialog, const osip_message_t *request)
{
    uint32_t cseq = sip_cseq(request);
    if (dialog->has_remote_cseq && cseq <= dialog->remote_cseq)
        return ERR_ORDER;
    dialog->remote_cseq = cseq;
    dialog->has_remote_cseq = 1;
    return OK;
}

void sip_dialog_refresh(struct sip_dialog *dialog, const osip_message_t *message)
{
    struct sip_dialog fresh = *dialog;
    if (osip_list_size(&message->contacts) > 0 && keep_target(&fresh, message) == OK)
        *dialog = fresh;
}

bool sip_dialog_matches(const struct sip_dialog *dialog, const osip_message_t *request)
{
    char call_id[LIMIT_SIP_CALL_ID_BYTES];
    return sip_call_id(request, call_id, sizeof(call_id)) == OK && strcmp(call_id, dialog->call_id) == 0 &&
           strcmp(sip_to_tag(request), dialog->local_tag) == 0 &&
           strcmp(sip_from_tag(request), dialog->remote_tag) == 0;
}

static osip_message_t *make(const struct sip_dialog *dialog, const char *method, uint32_t cseq)
{
    char from[LIMIT_SIP_PARTY_BYTES + LIMIT_SIP_TAG_BYTES + 8];
    char to[sizeof(from)];
    snprintf(from, sizeof(from), "%s;tag=%s", dialog->local_party, dialog->local_tag);
    snprintf(to, sizeof(to), "%s%s%s", dialog->remote_party, *dialog->remote_tag ? ";tag=" : "",
             dialog->remote_tag);
    osip_message_t *request =
        sip_message_request(method, dialog->remote_target, from, to, dialog->call_id, cseq);
    for (uint32_t i = 0; request && i < dialog->route_count; i++) {
        if (osip_message_set_route(request, dialog->routes[i]) != 0) {
            osip_message_free(request);
            request = NULL;
        }
    }
    if (request && osip_message_set_header(request, "Max-Forwards", "70") != 0) {
        osip_message_free(request);
        request = NULL;
    }
    return request;
}

osip_message_t *sip_dialog_request(struct sip_dialog *dialog, const char *method)
{
    return make(dialog, method, ++dialog->local_cseq);
}

osip_message_t *sip_dialog_ack(const struct sip_dialog *dialog, uint32_t cseq)
{
    return make(dialog, "ACK", cseq);
}

static bool peer_of_uri(const osip_uri_t *uri, struct sip_peer *peer)
{
    if (!uri || !uri->host || inet_pton(AF_INET, uri->host, &peer->address.sin_addr) != 1)
        return false;
    long port = uri->port ? strtol(uri->port, NULL, 10) : 5060;
    if (port < 1 || port > 65535)
        return false;
    const osip_uri_param_t *transport = sip_parameter(&uri->url_params, "transport");
    peer->address.sin_family = AF_INET;
    peer->address.sin_port = htons((uint16_t)port);
    if (transport && transport->gvalue)
        peer->transport = strcasecmp(transport->gvalue, "tcp") == 0 ? CONFIG_TCP : CONFIG_UDP;
    return true;
}

struct sip_peer sip_dialog_peer(const struct sip_dialog *dialog, const struct config *config,
                                const struct sip_transport *transport)
{
    struct sip_peer peer = sip_transport_trunk(transport, dialog->trunk);
    struct sip_peer wanted = peer;
    osip_route_t *route = NULL;
    osip_uri_t *target = NULL;
    bool is_known = false;
    if (dialog->route_count > 0 && osip_route_init(&route) == 0 &&
        osip_route_parse(route, dialog->routes[0]) == 0)
        is_known = peer_of_uri(route->url, &wanted);
    else if (dialog->route_count == 0 && osip_uri_init(&target) == 0 &&
             osip_uri_parse(target, dialog->remote_target) == 0)
        is_known = peer_of_uri(target, &wanted);
    osip_route_free(route);
    osip_uri_free(target);
    enum config_trunk_name trunk;
    if (is_known && sip_source_is_trunk(config, wanted.address.sin_addr, &trunk) && trunk == dialog->trunk)
        return wanted;
    return peer;
}
