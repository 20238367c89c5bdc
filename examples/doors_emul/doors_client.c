//go:build ignore

/* doors_client [PATH] [ID]: call the door at PATH (/tmp/door) with ID (12) and print
   the result. The steps are numbered as in main.go; the server is doors_server.c or
   doors_emul server. door.h says what travels over the socket. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../shared/door/door.h"

struct arg { int32_t id; };
struct result { int64_t square; };

static const char *path = "/tmp/door";

static _Noreturn void fail(const char *call)
{
    fprintf(stderr, "doors_client: %s %s: %s\n", call, path, strerror(errno));
    exit(1);
}

/* A door whose server is gone, or a socket that is none, is a bad descriptor. */
static int no_door(int err)
{
    return err == ECONNREFUSED || err == EPROTOTYPE ? EBADF : err;
}

/* The path is opened as what it is, a link too, and the connection goes there
   whatever the name means by then; its length does not matter either. */
static int open_door(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct stat st;
    int door, fd;

    door = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (door == -1 || fstat(door, &st) == -1)
        fail("open");
    errno = S_ISLNK(st.st_mode) ? ELOOP : EBADF;
    if (!S_ISSOCK(st.st_mode))
        fail("open");
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd == -1)
        fail("socket");
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", door);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == -1) {
        errno = no_door(errno);
        fail("open");
    }
    close(door);
    return fd;
}

/* door_call, with data that fits in a frame and without descriptors: recvmsg is
   given no room for any, so the kernel closes what comes. */
static size_t door_call(int fd, const void *data, size_t size, void *rbuf, size_t rsize)
{
    struct door_frame frame = {
        .magic = DOOR_MAGIC, .version = DOOR_VERSION, .type = DOOR_CALL, .size = size,
    };
    struct iovec out[2] = { { &frame, sizeof frame }, { (void *)data, size } };
    struct iovec in[2] = { { &frame, sizeof frame }, { rbuf, rsize } };
    struct msghdr msg = { .msg_iov = out, .msg_iovlen = 2 };
    ssize_t n;

    if (sendmsg(fd, &msg, MSG_NOSIGNAL) == -1) {
        errno = no_door(errno == EPIPE ? ECONNREFUSED : errno);
        fail("door_call");
    }
    msg.msg_iov = in;
    while ((n = recvmsg(fd, &msg, 0)) == -1 && errno == EINTR)
        ;
    if (n == 0)
        errno = EINTR; /* the server died in the call */
    if (n == -1 && errno == ECONNRESET)
        errno = EBADF; /* before it */
    if (n <= 0)
        fail("door_call");
    errno = EPROTO;
    if ((size_t)n < sizeof frame || frame.magic != DOOR_MAGIC)
        fail("door_call");
    errno = EPROTONOSUPPORT;
    if (frame.version != DOOR_VERSION)
        fail("door_call");
    if (frame.type == DOOR_ERROR) {
        errno = (int)frame.error;
        fail("door_call");
    }
    errno = EPROTO;
    if (frame.type != DOOR_RETURN)
        fail("door_call");
    errno = EOVERFLOW;
    if (frame.size > rsize || frame.flags & DOOR_MEMFD)
        fail("door_call");
    errno = EPROTO;
    if (frame.size != (size_t)n - sizeof frame)
        fail("door_call");
    return frame.size;
}

int main(int argc, char *argv[])
{
    struct arg arg = { 12 };
    struct result result;
    size_t size;
    int fd, len;
    char line[64], *end;

    if (argc > 3) {
        fprintf(stderr, "doors_client: want 0 to 2 arguments, got %d\nusage: doors_client [PATH] [ID]\n", argc - 1);
        return 1;
    }
    if (argc > 1)
        path = argv[1];
    if (argc > 2) {
        long id = (errno = 0, strtol(argv[2], &end, 10));
        if (errno || end == argv[2] || *end || id < INT32_MIN || id > INT32_MAX) {
            fprintf(stderr, "doors_client: ID %s: want a whole number of 32 bits\nusage: doors_client [PATH] [ID]\n", argv[2]);
            return 1;
        }
        arg.id = (int32_t)id;
    }
    /* [7] open the door */
    fd = open_door();
    /* [8] call it: the argument goes in, the result comes out */
    size = door_call(fd, &arg, sizeof arg, &result, sizeof result);
    if (size != sizeof result) {
        fprintf(stderr, "doors_client: door_call %s: result of %zu bytes, want %zu\n", path, size, sizeof result);
        return 1;
    }
    /* [9] print the result */
    len = snprintf(line, sizeof line, "result = %lld\n", (long long)result.square);
    path = "standard output";
    if (write(STDOUT_FILENO, line, (size_t)len) != len)
        fail("write");
    /* [10] close the door */
    close(fd);
    return 0;
}
