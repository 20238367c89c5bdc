//go:build ignore

/* pmsg_create [-cx] [-m MAXMSG] [-s MSGSIZE] NAME [OCTAL-PERMS]: make a POSIX
   message queue, or open one that exists. The steps are numbered as in main.go. */

#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static _Noreturn void usage(const char *what, const char *text)
{
    fprintf(stderr, "pmsg_create: %s%s\n", what, text);
    fprintf(stderr, "usage: pmsg_create [-cx] [-m MAXMSG] [-s MSGSIZE] NAME [OCTAL-PERMS]\n");
    exit(1);
}

static _Noreturn void fail(const char *call, const char *name)
{
    fprintf(stderr, "pmsg_create: %s %s: %s\n", call, name, strerror(errno));
    exit(1);
}

/* number takes what strtol takes whole */
static long number(const char *text, int base)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(text, &end, base);
    if (end == text || *end != '\0' || errno != 0)
        usage("not a number: ", text);
    return n;
}

int main(int argc, char *argv[])
{
    struct mq_attr attr = { .mq_maxmsg = 10, .mq_msgsize = 2048 };
    struct mq_attr *attrp = NULL;
    mode_t perms = S_IRUSR | S_IWUSR;
    int flags = O_RDWR, opt, n;
    const char *name;
    mqd_t mqd;

    opterr = 0;
    while ((opt = getopt(argc, argv, "cxm:s:")) != -1) {
        switch (opt) {
        case 'c':
            flags |= O_CREAT;
            break;
        case 'x':
            flags |= O_EXCL;
            break;
        /* [1] the limits: without -m and -s none, and one alone brings the other's default */
        case 'm':
            attr.mq_maxmsg = number(optarg, 10);
            attrp = &attr;
            break;
        case 's':
            attr.mq_msgsize = number(optarg, 10);
            attrp = &attr;
            break;
        default:
            usage("bad option", "");
        }
    }
    n = argc - optind;
    if (n < 1 || n > 2)
        usage("want 1 to 2 arguments", "");
    name = argv[optind];
    /* [2] the permissions */
    if (n == 2) {
        long p = number(argv[optind + 1], 8);

        if (p < 0 || p > 07777)
            usage("OCTAL-PERMS must be 0 to 7777, not ", argv[optind + 1]);
        perms = (mode_t)p;
    }
    /* [3] open the queue for reading and writing; -c creates it */
    mqd = mq_open(name, flags, perms, attrp);
    if (mqd == (mqd_t)-1)
        fail("mq_open", name);
    /* [4] close it: the queue stays */
    if (mq_close(mqd) == -1)
        fail("mq_close", name);
    return 0;
}
