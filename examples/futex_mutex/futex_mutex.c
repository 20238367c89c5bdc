//go:build ignore

/* futex_mutex [--procs N] [--iters M] | hold FILE DURATION | try FILE: count in
   several processes under a futex mutex. The steps are numbered as in main.go. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../shared/shared.h"

enum { MAX_PROCS = 1000 };

static _Noreturn void fail(const char *call, const char *object)
{
    fprintf(stderr, "futex_mutex: %s %s: %s\n", call, object, strerror(errno));
    exit(1);
}

/* A line is out before the next step. */
static void out(void)
{
    if (fflush(stdout) == EOF || ferror(stdout))
        fail("write", "standard output");
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "futex_mutex: wrong arguments\n"
                    "usage: futex_mutex [--procs N] [--iters M] | hold FILE DURATION | try FILE\n");
    exit(1);
}

static int try_lock(struct mutex *m)
{
    uint32_t c = UNLOCKED;

    return atomic_compare_exchange_strong(&m->word, &c, LOCKED);
}

static void lock(struct mutex *m)
{
    if (try_lock(m))
        return;
    while (atomic_exchange(&m->word, CONTENDED) != UNLOCKED)
        syscall(SYS_futex, &m->word, FUTEX_WAIT, CONTENDED, NULL, NULL, 0);
}

static void unlock(struct mutex *m)
{
    if (atomic_exchange(&m->word, UNLOCKED) == CONTENDED)
        syscall(SYS_futex, &m->word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void add(struct counter *c, unsigned long iters)
{
    /* [5] the mapping is the parent's, inherited by fork */
    volatile uint64_t *total = &c->total;

    while (iters-- > 0) {
        /* [6] lock, add, unlock: a load and a store that nobody may come between */
        lock(&c->mutex);
        *total = *total + 1;
        unlock(&c->mutex);
    }
    _exit(0);
}

static int spawn(long procs, unsigned long iters)
{
    struct counter *c;
    int status, failed = 0;
    long i;

    /* [1] make the memory that the processes share: mutex and counter, all zero */
    c = mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (c == MAP_FAILED)
        fail("mmap", "counter");
    /* [2] start the processes */
    for (i = 0; i < procs; i++)
        switch (fork()) {
        case -1:
            fail("fork", "adder");
            break;
        case 0:
            add(c, iters);
            break;
        default:
            break;
        }
    /* [3] wait for them */
    while (wait(&status) != -1)
        failed |= status != 0;
    if (failed) {
        fprintf(stderr, "futex_mutex: adder failed\n");
        return 1;
    }
    /* [4] print the total */
    printf("%llu\n", (unsigned long long)c->total);
    out();
    return 0;
}

static struct mutex *map_mutex(const char *name)
{
    struct mutex *m;
    struct stat st;
    int fd;

    /* [7] open the file; a new one becomes an unlocked pthread_mutex_t */
    fd = open(name, O_RDWR | O_CREAT, 0666);
    if (fd == -1)
        fail("open", name);
    if (fstat(fd, &st) == -1)
        fail("fstat", name);
    if (st.st_size == 0) {
        /* one write of what comes behind the word, which another program that is
           here too may have locked already */
        uint32_t rest[6] = {MUTEX_KIND};

        if (pwrite(fd, rest, sizeof rest, sizeof *m - sizeof rest) != sizeof rest)
            fail("write", name);
    } else if (st.st_size < (off_t)sizeof *m) {
        errno = EINVAL;
        fail("mmap", name);
    }
    /* [8] map it */
    m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (m == MAP_FAILED)
        fail("mmap", name);
    close(fd);
    if (m->kind != MUTEX_KIND) {
        fprintf(stderr, "futex_mutex: %s: mutex has kind %u, want %d\n", name, (unsigned)m->kind, MUTEX_KIND);
        exit(1);
    }
    return m;
}

static int hold(const char *name, const char *duration)
{
    struct mutex *m;
    struct timespec ts;
    char *unit;
    double d = strtod(duration, &unit);

    if (strcmp(unit, "ms") == 0)
        d /= 1000;
    else if (strcmp(unit, "s") != 0)
        usage();
    if (unit == duration || !(d >= 0 && d < 1e9))
        usage();
    ts.tv_sec = (time_t)d;
    ts.tv_nsec = (long)((d - (double)ts.tv_sec) * 1e9);
    m = map_mutex(name);
    /* [9] lock (a signal ends us without unlocking) */
    lock(m);
    /* [10] say so, and keep it */
    printf("locked\n");
    out();
    nanosleep(&ts, NULL);
    /* [11] unlock */
    unlock(m);
    return 0;
}

static int try(const char *name)
{
    struct mutex *m = map_mutex(name);

    /* [12] lock if nobody has it, and let it go */
    if (!try_lock(m)) {
        printf("busy\n");
        out();
        return 1;
    }
    unlock(m);
    printf("acquired\n");
    out();
    return 0;
}

int main(int argc, char *argv[])
{
    unsigned long iters = 100000;
    long procs = 4;
    char *end;
    int i;

    if (argc == 4 && strcmp(argv[1], "hold") == 0)
        return hold(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], "try") == 0)
        return try(argv[2]);
    for (i = 1; i + 1 < argc; i += 2) {
        errno = 0;
        if (strcmp(argv[i], "--procs") == 0)
            procs = strtol(argv[i + 1], &end, 10);
        else if (strcmp(argv[i], "--iters") == 0 && argv[i + 1][0] != '-')
            iters = strtoul(argv[i + 1], &end, 10);
        else
            usage();
        if (errno != 0 || end == argv[i + 1] || *end != '\0')
            usage();
    }
    if (i != argc || procs < 1 || procs > MAX_PROCS)
        usage();
    return spawn(procs, iters);
}
