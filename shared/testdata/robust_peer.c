/* robust_peer FILE: carries out one command a line on the robust mutexes of
   glibc in a mapped file, and answers each with a line: "ok" or an errno. OFF is
   the offset of a pthread_mutex_t in the file; behind it, at OFF + 40, stands the
   counter that it guards. The Go test binary has a role that does the same. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *mem;

static void answer(int err)
{
    puts(err == 0 ? "ok" : strerrorname_np(err));
}

static int init(pthread_mutex_t *m)
{
    pthread_mutexattr_t a;
    int err = pthread_mutexattr_init(&a);
    if (err == 0)
        err = pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    if (err == 0)
        err = pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    return err ? err : pthread_mutex_init(m, &a);
}

static int count(pthread_mutex_t *m, long n)
{
    volatile uint64_t *total = (uint64_t *)((char *)m + 40);
    for (long i = 0; i < n; i++) {
        int err = pthread_mutex_lock(m);
        if (err == EOWNERDEAD)
            err = pthread_mutex_consistent(m);
        if (err)
            return err;
        *total = *total + 1;
        if ((err = pthread_mutex_unlock(m)))
            return err;
    }
    return 0;
}

static void layout(void)
{
#define AT(field) offsetof(pthread_mutex_t, __data.field)
    printf("mutex %zu align %zu lock %zu count %zu owner %zu nusers %zu kind %zu prev %zu next %zu\n",
        sizeof(pthread_mutex_t), _Alignof(pthread_mutex_t), AT(__lock), AT(__count), AT(__owner), AT(__nusers),
        AT(__kind), AT(__list.__prev), AT(__list.__next));
    struct robust_list_head *head; /* the one of glibc */
    size_t len;
    if (syscall(SYS_get_robust_list, 0, &head, &len) != 0)
        perror("get_robust_list");
    printf("head %zu next %zu offset %zu pending %zu is %zu %ld\n", sizeof *head,
        offsetof(struct robust_list_head, list), offsetof(struct robust_list_head, futex_offset),
        offsetof(struct robust_list_head, list_op_pending), len, head->futex_offset);
    printf("tid %#x died %#x waiters %#x\n", FUTEX_TID_MASK, FUTEX_OWNER_DIED, FUTEX_WAITERS);
}

int main(int argc, char **argv)
{
    struct stat st;
    int fd = argc > 1 ? open(argv[1], O_RDWR) : -1;
    if (fd < 0 || fstat(fd, &st) != 0) {
        perror("open");
        return 1;
    }
    mem = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mem == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    char line[256];
    while (fgets(line, sizeof line, stdin)) {
        char cmd[32] = "";
        long off = 0, n = 0;
        sscanf(line, "%31s %ld %ld", cmd, &off, &n);
        pthread_mutex_t *m = (pthread_mutex_t *)(mem + off);
        if (strcmp(cmd, "layout") == 0)
            layout();
        else if (strcmp(cmd, "init") == 0)
            answer(init(m));
        else if (strcmp(cmd, "lock") == 0)
            answer(pthread_mutex_lock(m));
        else if (strcmp(cmd, "try") == 0)
            answer(pthread_mutex_trylock(m));
        else if (strcmp(cmd, "unlock") == 0)
            answer(pthread_mutex_unlock(m));
        else if (strcmp(cmd, "consistent") == 0)
            answer(pthread_mutex_consistent(m));
        else if (strcmp(cmd, "count") == 0)
            answer(count(m, n));
        else
            printf("? %s", line);
    }
    return 0;
}
