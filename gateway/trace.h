/* What went over the wire to a sandbox, for whoever has to find out why a gateway says 400 (requirement S4-09): a JSON
 * line for each request and answer, in a file of its own. Only with gateway.sandbox, for which live keys are refused, and
 * only for published test cards: a payment with another number is refused while a trace is kept.
 *
 * No digit of a card is in it all the same. A request that carries one is built a second time, from zeros in its place,
 * and that is what is written: paths, names and shapes are those that were sent. Runs of six or more digits in an answer
 * are replaced by '#'. Headers that prove who we are are named, not shown. Thread: one owner. */
#ifndef TONEGATE_GATEWAY_TRACE_H
#define TONEGATE_GATEWAY_TRACE_H

#include "base/err.h"
#include "gateway/connector.h"

struct trace;

/* Appends to the file, made with mode 0600 when there is none. ERR_SYSTEM, ERR_MEMORY. */
MUST_USE enum err trace_open(struct trace **out, const char *path);
void trace_close(struct trace *trace); /* NULL is accepted */

/* Call where build() of the step's round succeeded, and while step->card is still there. NULL trace: nothing happens. */
void trace_request(struct trace *trace, const struct connector *connector,
                   const struct connector_account *account, const struct connector_step *step);
void trace_answer(struct trace *trace, const struct connector *connector, const struct connector_step *step,
                  const struct connector_answer *answer);

#endif
