//go:build ignore

/* pmsg_receive [-n] NAME: take a message from a POSIX message queue and print it.
   The steps are numbered as in main.go. */

#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void usage(const char *what)
{
    fprintf(stderr, "pmsg_receive: %s\nusage: pmsg_receive [-n] NAME\n", what);
    exit(1);
}

static _Noreturn void fail(const char *call, const char *name)
{
    fprintf(stderr, "pmsg_receive: %s %s: %s\n", call, name, strerror(errno));
    exit(1);
}

/* write_all goes on after a partial write */
static int write_all(const char *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, buf, len);

        if (n == -1)
            return -1;
        buf += n;
        len -= (size_t)n;
    }
    return 0;
}

int main(int argc, char *argv[])
{
    int flags = O_RDONLY, opt;
    struct mq_attr attr;
    const char *name;
    unsigned prio;
    ssize_t n;
    mqd_t mqd;
    char *buf;

    opterr = 0;
    while ((opt = getopt(argc, argv, "n")) != -1) {
        if (opt != 'n')
            usage("bad option");
        flags |= O_NONBLOCK;
    }
    if (argc - optind != 1)
        usage("want 1 argument");
    name = argv[optind];
    /* [1] open the queue for reading */
    mqd = mq_open(name, flags);
    if (mqd == (mqd_t)-1)
        fail("mq_open", name);
    /* [2] ask for the length of the longest message, and make room for it */
    if (mq_getattr(mqd, &attr) == -1)
        fail("mq_getattr", name);
    buf = malloc((size_t)attr.mq_msgsize);
    if (buf == NULL)
        fail("malloc", name);
    /* [3] what cannot be printed is better left in the queue */
    if (fcntl(STDOUT_FILENO, F_GETFL) == -1)
        fail("write", "standard output");
    /* [4] receive; an empty queue makes us wait here, or fail with -n */
    n = mq_receive(mqd, buf, (size_t)attr.mq_msgsize, &prio);
    if (n == -1)
        fail("mq_receive", name);
    /* [5] print the message */
    if (dprintf(STDOUT_FILENO, "Read %ld bytes; priority = %u\n", (long)n, prio) < 0 ||
        write_all(buf, (size_t)n) == -1 || write_all("\n", 1) == -1) {
        int err = errno;

        /* [6] nobody else has it any more: say what it was */
        fprintf(stderr, "pmsg_receive: a message of %ld bytes, priority %u, was taken and not printed: ", (long)n, prio);
        fwrite(buf, 1, (size_t)n, stderr);
        fputc('\n', stderr);
        errno = err;
        fail("write", "standard output");
    }
    free(buf);
    return 0;
}
