/* SPDX-License-Identifier: Apache-2.0 */
#include "arrivals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int arrivals_post(struct arrivals *arrivals, enum arrival_kind kind, uint64_t client,
                  const struct link_peer *peer, struct octets data)
{
    struct arrival *arrival = malloc(sizeof(*arrival) + data.size_bytes);
    if (arrival == NULL)
        return -ENOMEM;

    *arrival = (struct arrival){.kind = kind, .client = client, .size_bytes = data.size_bytes};
    if (peer != NULL)
        arrival->peer = *peer;
    if (data.size_bytes != 0)
        memcpy(arrival->octets, data.data, data.size_bytes);
    if (arrivals->last != NULL)
        arrivals->last->next = arrival;
    else
        arrivals->first = arrival;
    arrivals->last = arrival;
    return 0;
}

struct arrival *arrivals_take(struct arrivals *arrivals)
{
    struct arrival *arrival = arrivals->first;

    if (arrival == NULL)
        return NULL;
    arrivals->first = arrival->next;
    if (arrivals->first == NULL)
        arrivals->last = NULL;
    return arrival;
}

void arrivals_close(struct arrivals *arrivals)
{
    struct arrival *arrival;

    while ((arrival = arrivals_take(arrivals)) != NULL)
        free(arrival);
}
