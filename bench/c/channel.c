/* channel.c: pipe, FIFO and sockets: read(2) and write(2). */
#include "half.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct channel {
    int in, out;
    size_t len;
    unsigned char *buf;
};

static int open_fifo(const char *path, const char *way, int flags)
{
    char name[4096];
    int fd;

    snprintf(name, sizeof name, "%s%s", path, way);
    fd = open(name, flags | O_CLOEXEC);
    if (fd == -1)
        fail_errno("open FIFO");
    return fd;
}

/* make returns the channel of a half. The first of the two FIFOs goes from the
   half that pings or sends to the other; both sides open it first. */
static struct channel make(struct half *h, int first, int reads, int writes)
{
    struct channel c = {file(0), file(1), h->size, buffer(h->size)};

    fill(c.buf, c.len);
    if (h->path == NULL)
        return c;
    if (first) {
        if (writes)
            c.out = open_fifo(h->path, ".to", O_WRONLY);
        if (reads)
            c.in = open_fifo(h->path, ".from", O_RDONLY);
    } else {
        if (reads)
            c.in = open_fifo(h->path, ".to", O_RDONLY);
        if (writes)
            c.out = open_fifo(h->path, ".from", O_WRONLY);
    }
    return c;
}

static void put(struct channel *c)
{
    for (size_t done = 0; done < c->len;) {
        ssize_t n = write(c->out, c->buf + done, c->len - done);

        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            fail_errno("write");
        done += (size_t)n;
    }
}

static void get(struct channel *c)
{
    for (size_t done = 0; done < c->len;) {
        ssize_t n = read(c->in, c->buf + done, c->len - done);

        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            fail_errno("read");
        if (n == 0)
            fail("end of the data");
        done += (size_t)n;
    }
}

static void ping_op(struct half *h, void *state, size_t i)
{
    struct channel *c = state;

    stamp(h, c->buf, c->len, i);
    put(c);
    get(c);
    echo(h, c->buf, c->len, i);
}

static void pong_op(struct half *h, void *state, size_t i)
{
    struct channel *c = state;

    get(c);
    check(h, c->buf, c->len, i);
    put(c);
}

static void send_op(struct half *h, void *state, size_t i)
{
    struct channel *c = state;

    stamp(h, c->buf, c->len, i);
    put(c);
}

static void recv_op(struct half *h, void *state, size_t i)
{
    struct channel *c = state;

    get(c);
    check(h, c->buf, c->len, i);
}

void channel_ping(struct half *h)
{
    struct channel c = make(h, 1, 1, 1);

    run(h, 1, ping_op, &c);
}

void channel_pong(struct half *h)
{
    struct channel c = make(h, 0, 1, 1);

    run(h, 0, pong_op, &c);
}

void channel_send(struct half *h)
{
    struct channel c = make(h, 1, 0, 1);

    run(h, 1, send_op, &c);
}

void channel_recv(struct half *h)
{
    struct channel c = make(h, 0, 1, 0);

    run(h, 0, recv_op, &c);
}
