#include "gateway/connectors/reply_xml.h"

#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/xmlerror.h>
#include <string.h>

/* Where libxml2 meets a document type, before it has read what is in it. */
static void document_type_h(void *context, const xmlChar *name, const xmlChar *external_id,
                            const xmlChar *system_id)
{
    (void)name;
    (void)external_id;
    (void)system_id;
    xmlParserCtxtPtr parser = context;
    xmlStopParser(parser);
    parser->wellFormed = 0;
}

static void start_element_h(void *context, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
                            int namespace_count, const xmlChar **namespaces, int attribute_count,
                            int default_count, const xmlChar **attributes)
{
    xmlParserCtxtPtr parser = context;
    if (parser->nodeNr >= REPLY_XML_DEPTH) {
        xmlStopParser(parser);
        parser->wellFormed = 0;
        return;
    }
    xmlSAX2StartElementNs(context, name, prefix, uri, namespace_count, namespaces, attribute_count,
                          default_count, attributes);
}

static xmlParserInputPtr no_entity_h(const char *url, const char *id, xmlParserCtxtPtr parser)
{
    (void)url;
    (void)id;
    (void)parser;
    return NULL;
}

/* libxml2 quotes the place it stumbled over, even when it was told to report nothing. */
static void silence_h(void *context, const char *format, ...)
{
    (void)context;
    (void)format;
}

xmlDoc *reply_xml_parse(const struct connector_answer *answer)
{
    if (answer->body_length == 0 || answer->body_length > LIMIT_HTTP_REPLY_BYTES ||
        memchr(answer->body, 0, answer->body_length))
        return NULL;
    xmlSetExternalEntityLoader(no_entity_h);
    xmlSetGenericErrorFunc(NULL, silence_h);
    xmlParserCtxtPtr parser = xmlNewParserCtxt();
    if (!parser)
        return NULL;
    parser->sax->internalSubset = document_type_h;
    parser->sax->startElementNs = start_element_h;
    xmlDoc *document = xmlCtxtReadMemory(
        parser, (const char *)answer->body, (int)answer->body_length, NULL, "UTF-8",
        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA | XML_PARSE_COMPACT);
    bool is_good = document && parser->wellFormed && !document->intSubset && !document->extSubset;
    if (!is_good) {
        xmlFreeDoc(document);
        document = NULL;
    }
    xmlFreeParserCtxt(parser);
    xmlResetLastError();
    return document;
}

static bool is_named(const xmlNode *node, const char *name, size_t length)
{
    return node->type == XML_ELEMENT_NODE && strlen((const char *)node->name) == length &&
           memcmp(node->name, name, length) == 0;
}

static bool append_text(const xmlNode *nodes, char *out, size_t capacity)
{
    size_t used = 0;
    for (const xmlNode *node = nodes; node; node = node->next) {
        if (node->type == XML_COMMENT_NODE || node->type == XML_PI_NODE)
            continue;
        size_t length = node->content ? strlen((const char *)node->content) : 0;
        if (node->type != XML_TEXT_NODE || !node->content || length >= capacity - used)
            return false;
        memcpy(out + used, node->content, length);
        used += length;
    }
    size_t start = strspn(out, " \t\r\n");
    while (used > start && strchr(" \t\r\n", out[used - 1]))
        used--;
    memmove(out, out + start, used - start);
    memset(out + (used - start), 0, capacity - (used - start));
    return true;
}

static const xmlNode *attribute_text(const xmlNode *node, const char *name)
{
    for (const xmlAttr *attribute = node->properties; attribute; attribute = attribute->next) {
        if (strcmp((const char *)attribute->name, name) == 0)
            return attribute->children;
    }
    return NULL;
}

bool reply_xml_text(const xmlDoc *document, const char *path, char *out, size_t capacity)
{
    const xmlNode *level = document ? document->children : NULL;
    const xmlNode *found = NULL;
    memset(out, 0, capacity);
    for (;;) {
        size_t length = strcspn(path, ".");
        if (found && path[0] == '@') {
            const xmlNode *text = attribute_text(found, path + 1);
            bool is_there = text && append_text(text, out, capacity);
            if (!is_there)
                memset(out, 0, capacity);
            return is_there;
        }
        for (found = level; found && !is_named(found, path, length); found = found->next)
            ;
        if (!found)
            return false;
        level = found->children;
        path += length;
        if (*path == '\0')
            break;
        path++;
    }
    if (append_text(level, out, capacity))
        return true;
    memset(out, 0, capacity);
    return false;
}
