/* mq.c: message queues. The coordinator has made PATH.to and PATH.from. */
#include "half.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>

struct queues {
    mqd_t to, from;
    size_t len;
    unsigned char *buf;
};

static mqd_t open_queue(struct half *h, const char *way, int flags)
{
    char name[256];
    mqd_t q;

    snprintf(name, sizeof name, "%s%s", h->path, way);
    q = mq_open(name, flags);
    if (q == (mqd_t)-1)
        fail_errno("mq_open");
    return q;
}

static void put(mqd_t q, struct queues *s)
{
    while (mq_send(q, (const char *)s->buf, s->len, 0) == -1)
        if (errno != EINTR)
            fail_errno("mq_send");
}

static size_t get(mqd_t q, struct queues *s)
{
    ssize_t n;

    while ((n = mq_receive(q, (char *)s->buf, s->len, NULL)) == -1)
        if (errno != EINTR)
            fail_errno("mq_receive");
    return (size_t)n;
}

static void ping_op(struct half *h, void *state, size_t i)
{
    struct queues *s = state;

    stamp(h, s->buf, s->len, i);
    put(s->to, s);
    echo(h, s->buf, get(s->from, s), i);
}

static void pong_op(struct half *h, void *state, size_t i)
{
    struct queues *s = state;

    check(h, s->buf, get(s->to, s), i);
    put(s->from, s);
}

static void send_op(struct half *h, void *state, size_t i)
{
    struct queues *s = state;

    stamp(h, s->buf, s->len, i);
    put(s->to, s);
}

static void recv_op(struct half *h, void *state, size_t i)
{
    struct queues *s = state;
    size_t n = get(s->to, s);

    if (h->peer == 1)
        check(h, s->buf, n, i);
    else
        number(h, s->buf, n, i);
}

static struct queues make(struct half *h)
{
    struct queues s = {(mqd_t)-1, (mqd_t)-1, h->size, buffer(h->size)};

    fill(s.buf, s.len);
    return s;
}

void mq_ping(struct half *h)
{
    struct queues s = make(h);

    s.to = open_queue(h, ".to", O_WRONLY);
    s.from = open_queue(h, ".from", O_RDONLY);
    run(h, 1, ping_op, &s);
}

void mq_pong(struct half *h)
{
    struct queues s = make(h);

    s.to = open_queue(h, ".to", O_RDONLY);
    s.from = open_queue(h, ".from", O_WRONLY);
    run(h, 0, pong_op, &s);
}

void mq_send_role(struct half *h)
{
    struct queues s = make(h);

    s.to = open_queue(h, ".to", O_WRONLY);
    run(h, 1, send_op, &s);
}

void mq_recv_role(struct half *h)
{
    struct queues s = make(h);

    s.to = open_queue(h, ".to", O_RDONLY);
    run(h, 0, recv_op, &s);
}
