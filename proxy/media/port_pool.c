#include "proxy/media/port_pool.h"

#include "base/limits.h"
#include "base/secret.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#define NO_PLACE SIZE_MAX

/* The free places are a queue through `next`, in the order in which they were released. */
struct port_pool {
    const int *sockets;
    size_t place_count;
    size_t first, last;
    struct port_place {
        bool is_used;
        size_t next;
        struct mono_time rests_until;
        uint16_t rtp_port[2];
    } places[];
};

void port_drain(int fd)
{
    uint8_t packet[LIMIT_RTP_PACKET_BYTES];
    ssize_t most = 0;
    for (int i = 0; i < PORT_DRAIN_MAX; i++) {
        ssize_t got = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);
        if (got < 0 && errno != ECONNREFUSED && errno != EINTR)
            break;
        most = got > most ? got : most;
    }
    wipe(packet, (size_t)most);
}

static bool is_loopback(struct in_addr address)
{
    return ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

bool port_may_send(struct in_addr own, struct in_addr remote)
{
    uint32_t first_octet = ntohl(remote.s_addr) >> 24;
    if (first_octet == 0 || first_octet >= 224) /* "this network", multicast, reserved, broadcast */
        return false;
    return !is_loopback(remote) || is_loopback(own);
}

static enum err own_address(int fd, struct sockaddr_in *own)
{
    socklen_t length = sizeof(*own);
    *own = (struct sockaddr_in){0};
    if (getsockname(fd, (struct sockaddr *)own, &length) != 0 || own->sin_family != AF_INET)
        return ERR_SYSTEM;
    return OK;
}

static enum err connect_and_drain(int fd, const struct sockaddr_in *remote)
{
    if (connect(fd, (const struct sockaddr *)remote, sizeof(*remote)) != 0)
        return ERR_SYSTEM;
    port_drain(fd);
    return OK;
}

enum err port_connect(int fd, const struct sockaddr_in *remote)
{
    struct sockaddr_in own;
    enum err err = own_address(fd, &own);
    if (err)
        return err;
    if (!port_may_send(own.sin_addr, remote->sin_addr))
        return ERR_REFUSED;
    return connect_and_drain(fd, remote);
}

enum err port_park(int fd)
{
    struct sockaddr_in own;
    enum err err = own_address(fd, &own);
    return err ? err : connect_and_drain(fd, &own);
}

static enum err place_prepare(struct port_pool *pool, size_t place)
{
    const int *sockets = port_pool_sockets(pool, place);
    for (size_t i = 0; i < PORT_POOL_SOCKETS; i++) {
        enum err err = port_park(sockets[i]);
        if (err)
            return err;
    }
    for (size_t pair = 0; pair < 2; pair++) {
        struct sockaddr_in own;
        enum err err = own_address(sockets[2 * pair], &own);
        if (err)
            return err;
        pool->places[place].rtp_port[pair] = ntohs(own.sin_port);
    }
    return OK;
}

static void queue_append(struct port_pool *pool, size_t place)
{
    pool->places[place].next = NO_PLACE;
    if (pool->first == NO_PLACE)
        pool->first = place;
    else
        pool->places[pool->last].next = place;
    pool->last = place;
}

enum err port_pool_new(struct port_pool **out, const int *sockets, size_t socket_count, size_t places_max)
{
    *out = NULL;
    size_t count = socket_count / PORT_POOL_SOCKETS;
    if (count > places_max)
        count = places_max;
    if (count == 0)
        return ERR_RANGE;
    struct port_pool *pool = calloc(1, sizeof(*pool) + count * sizeof(pool->places[0]));
    if (!pool)
        return ERR_MEMORY;
    *pool = (struct port_pool){.sockets = sockets, .place_count = count, .first = NO_PLACE, .last = NO_PLACE};
    for (size_t i = 0; i < count; i++) {
        enum err err = place_prepare(pool, i);
        if (err) {
            free(pool);
            return err;
        }
        queue_append(pool, i);
    }
    *out = pool;
    return OK;
}

void port_pool_free(struct port_pool *pool)
{
    free(pool);
}

size_t port_pool_places(const struct port_pool *pool)
{
    return pool->place_count;
}

enum err port_pool_take(struct port_pool *pool, struct mono_time now, size_t *place)
{
    if (pool->first == NO_PLACE || !mono_reached(now, pool->places[pool->first].rests_until))
        return ERR_FULL;
    *place = pool->first;
    pool->first = pool->places[*place].next;
    pool->places[*place].is_used = true;
    return OK;
}

enum err port_pool_claim(struct port_pool *pool, size_t place)
{
    if (place >= pool->place_count)
        return ERR_RANGE;
    if (pool->places[place].is_used)
        return ERR_EXISTS;
    size_t before = NO_PLACE;
    for (size_t i = pool->first; i != place; i = pool->places[i].next)
        before = i;
    if (before == NO_PLACE)
        pool->first = pool->places[place].next;
    else
        pool->places[before].next = pool->places[place].next;
    if (pool->last == place)
        pool->last = before;
    pool->places[place].is_used = true;
    return OK;
}

void port_pool_release(struct port_pool *pool, size_t place, struct mono_time now)
{
    pool->places[place].is_used = false;
    pool->places[place].rests_until = mono_add_ms(now, PORT_POOL_QUARANTINE_MS);
    queue_append(pool, place);
}

enum err port_pool_find(const struct port_pool *pool, uint16_t rtp_port, size_t *place)
{
    for (size_t i = 0; i < pool->place_count; i++) {
        if (pool->places[i].rtp_port[0] == rtp_port || pool->places[i].rtp_port[1] == rtp_port) {
            *place = i;
            return OK;
        }
    }
    return ERR_NOT_FOUND;
}

const int *port_pool_sockets(const struct port_pool *pool, size_t place)
{
    return pool->sockets + place * PORT_POOL_SOCKETS;
}

uint16_t port_pool_rtp_port(const struct port_pool *pool, size_t place, size_t pair)
{
    return pool->places[place].rtp_port[pair];
}
