/* door.c: calls over SOCK_SEQPACKET in the wire format of door.h, so that either
   half may be Go. Data above 64 KiB go in a sealed memfd that a connection makes
   once and uses again. */
#include "half.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../shared/door/door.h"

enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE };

/* The sender's memfd of a connection. */
struct large {
    int fd;
    size_t size;
    void *map;
};

static void large_put(struct large *l, const void *data, size_t size)
{
    if (l->map == NULL || l->size != size) {
        if (l->map != NULL) {
            munmap(l->map, l->size);
            close(l->fd);
        }
        l->fd = memfd_create("door", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (l->fd == -1 || ftruncate(l->fd, (off_t)size) == -1)
            fail_errno("memfd_create");
        l->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, l->fd, 0);
        if (l->map == MAP_FAILED)
            fail_errno("mmap");
        if (fcntl(l->fd, F_ADD_SEALS, SEALS) == -1)
            fail_errno("F_ADD_SEALS");
        l->size = size;
    }
    memcpy(l->map, data, size);
}

static void large_get(int fd, void *data, size_t size)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;

    if (seals == -1 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW)
        || (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) == 0 || fstat(fd, &st) == -1 || (size_t)st.st_size != size)
        fail("memfd with seals %#x", (unsigned)seals);
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, (char *)data + done, size - done, (off_t)done);

        if (n <= 0)
            fail_errno("pread");
        done += (size_t)n;
    }
}

/* transmit sends a frame with data and at most one descriptor; -1: none. */
static void transmit(int fd, struct large *l, int type, const void *data, size_t size, int desc)
{
    struct door_frame frame = {
        .magic = DOOR_MAGIC, .version = DOOR_VERSION, .type = (uint16_t)type, .size = size, .n_desc = desc != -1,
    };
    struct iovec iov[2] = {{&frame, sizeof frame}, {(void *)data, size}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = size > 0 ? 2 : 1};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } control;
    int fds[2], n = 0;

    if (size > DOOR_INLINE_MAX) {
        large_put(l, data, size);
        frame.flags = DOOR_MEMFD;
        msg.msg_iovlen = 1;
        fds[n++] = l->fd;
    }
    if (desc != -1)
        fds[n++] = desc;
    if (n > 0) {
        struct cmsghdr *c;

        msg.msg_control = control.space;
        msg.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, (size_t)n * sizeof(int));
    }
    while (sendmsg(fd, &msg, MSG_NOSIGNAL) == -1)
        if (errno != EINTR)
            fail_errno("sendmsg");
}

/* receive returns a frame's type, or 0 at the end of the connection. The frame's
   descriptors are closed. */
static int receive(int fd, struct door_frame *frame, void *data, size_t room)
{
    struct iovec iov[2] = {{frame, sizeof *frame}, {data, room < DOOR_INLINE_MAX ? room : DOOR_INLINE_MAX}};
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct msghdr msg = {
        .msg_iov = iov, .msg_iovlen = room > 0 ? 2 : 1, .msg_control = control.space, .msg_controllen = sizeof control,
    };
    struct cmsghdr *c;
    ssize_t n;

    while ((n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC)) == -1)
        if (errno != EINTR)
            return 0;
    if (n == 0)
        return 0;
    if ((size_t)n < sizeof *frame || frame->magic != DOOR_MAGIC || frame->version != DOOR_VERSION)
        fail("frame of %zd bytes", n);
    if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || frame->size > room)
        fail("frame of %llu bytes of data", (unsigned long long)frame->size);
    c = CMSG_FIRSTHDR(&msg);
    if (frame->flags & DOOR_MEMFD) {
        int first;

        if (c == NULL)
            fail("frame without its memfd");
        memcpy(&first, CMSG_DATA(c), sizeof first);
        large_get(first, data, frame->size);
    } else if (frame->size != (size_t)n - sizeof *frame) {
        fail("frame of %zd bytes for %llu", n, (unsigned long long)frame->size);
    }
    if (c != NULL)
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int one;

            memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof one);
            close(one);
        }
    return frame->type;
}

static void address(struct sockaddr_un *a, const char *path)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a->sun_path)
        fail("path of %zu bytes", strlen(path));
    strcpy(a->sun_path, path);
}

/* The client. */

static struct large client_large;

int door_open(const char *path)
{
    struct sockaddr_un a;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    address(&a, path);
    if (fd == -1 || connect(fd, (struct sockaddr *)&a, sizeof a) == -1)
        fail_errno("connect");
    return fd;
}

void door_transact(int fd, const void *data, size_t len, int desc, void *result)
{
    struct door_frame frame;

    transmit(fd, &client_large, DOOR_CALL, data, len, desc);
    if (receive(fd, &frame, result, len) != DOOR_RETURN)
        fail("answer of type %d, error %d", frame.type, (int)frame.error);
    if (frame.size != len)
        fail("result of %llu bytes", (unsigned long long)frame.size);
}

struct client {
    int fd, desc;
    size_t len;
    unsigned char *data, *result;
};

static void call_op(struct half *h, void *state, size_t i)
{
    struct client *c = state;

    stamp(h, c->data, c->len, i);
    door_transact(c->fd, c->data, c->len, c->desc, c->result);
    check(h, c->result, c->len, i);
}

static void call(struct half *h, int desc)
{
    struct client c = {door_open(h->path), desc, h->size, buffer(h->size), buffer(h->size)};

    fill(c.data, c.len);
    run(h, 1, call_op, &c);
}

void door_call(struct half *h) { call(h, -1); }
void door_callfd(struct half *h) { call(h, file(0)); }

/* The server: a thread for each connection. */

static int listener, mute;
static size_t room;

static void *connection(void *arg)
{
    int fd = (int)(intptr_t)arg, type;
    unsigned char *data = buffer(room);
    struct door_info_reply info = {.pid = getpid(), .data_max = room};
    struct large l = {.fd = -1};
    struct door_frame frame;

    while ((type = receive(fd, &frame, data, room)) != 0) {
        if (type == DOOR_INFO)
            transmit(fd, &l, DOOR_RETURN, &info, sizeof info, -1);
        else if (!mute)
            transmit(fd, &l, DOOR_RETURN, data, frame.size, -1);
    }
    close(fd);
    return NULL;
}

static void *accept_all(void *arg)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_t id;

        if (fd == -1)
            fail_errno("accept");
        if (pthread_create(&id, NULL, connection, (void *)(intptr_t)fd) != 0)
            fail("pthread_create");
        pthread_detach(id);
    }
    return arg;
}

static void start(struct half *h)
{
    struct sockaddr_un a;
    pthread_t id;

    room = h->size;
    address(&a, h->path);
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (listener == -1 || bind(listener, (struct sockaddr *)&a, sizeof a) == -1 || listen(listener, 128) == -1)
        fail_errno("listen");
    if (pthread_create(&id, NULL, accept_all, NULL) != 0)
        fail("pthread_create");
    serve(h, NULL, NULL);
}

void door_serve(struct half *h) { start(h); }

void door_mute(struct half *h)
{
    mute = 1;
    start(h);
}
