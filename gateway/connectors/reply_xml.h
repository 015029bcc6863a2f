/* Reading a gateway's XML without believing it (libxml2). Refused before a byte of it is worked on: a document type, and
 * with it every entity, inside or outside; depth past REPLY_XML_DEPTH; any encoding but UTF-8. Nothing is ever fetched. */
#ifndef TONEGATE_GATEWAY_REPLY_XML_H
#define TONEGATE_GATEWAY_REPLY_XML_H

#include "gateway/connector.h"

#include <libxml/tree.h>
#include <stdbool.h>

#define REPLY_XML_DEPTH 16

/* NULL: no well-formed XML, or refused as told above. The caller releases it with xmlFreeDoc(). */
xmlDoc *reply_xml_parse(const struct connector_answer *answer);

/* The text of the element at a dotted path ("response.result"; the first of a name counts, "@name" at the end is an
 * attribute). Namespaces are not looked at. False, and an empty out, when there is none or it is too long. */
bool reply_xml_text(const xmlDoc *document, const char *path, char *out, size_t capacity);

#endif
