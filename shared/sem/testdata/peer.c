/* peer FILE: carries out one command a line on the semaphores of glibc in a
   mapped file, and answers each with a line: "ok", "ok VALUE" or an errno.
   OFF is the offset of a sem_t in the file, or "n" for the named semaphore that
   was opened last. The Go test binary has a role that does the same. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char *mem;
static sem_t *named;

static sem_t *at(const char *off)
{
    return off[0] == 'n' ? named : (sem_t *)(mem + atol(off));
}

static void answer(int r)
{
    puts(r == 0 ? "ok" : strerrorname_np(errno));
}

static int timedwait(sem_t *s, long ms)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += ms % 1000 * 1000000;
    ts.tv_sec += ms / 1000 + ts.tv_nsec / 1000000000;
    ts.tv_nsec %= 1000000000;
    return sem_timedwait(s, &ts);
}

static int pingpong(sem_t *mine, sem_t *theirs, long n)
{
    for (long i = 0; i < n; i++)
        if (sem_wait(mine) != 0 || sem_post(theirs) != 0)
            return -1;
    return 0;
}

/* open NAME FLAGS MODE VALUE; FLAGS may hold c (O_CREAT) and x (O_EXCL). */
static int open_named(const char *name, const char *flags, mode_t mode, unsigned value)
{
    int oflag = (strchr(flags, 'c') ? O_CREAT : 0) | (strchr(flags, 'x') ? O_EXCL : 0);
    sem_t *s = sem_open(name, oflag, mode, value);
    if (s == SEM_FAILED)
        return -1;
    named = s;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        struct stat st;
        int fd = open(argv[1], O_RDWR);
        if (fd < 0 || fstat(fd, &st) != 0) {
            perror(argv[1]);
            return 1;
        }
        mem = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (mem == MAP_FAILED) {
            perror("mmap");
            return 1;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    char line[1024];
    while (fgets(line, sizeof line, stdin)) {
        char cmd[32] = "", a[600] = "", b[32] = "", c[32] = "", d[32] = "";
        sscanf(line, "%31s %599s %31s %31s %31s", cmd, a, b, c, d);
        int v;
        if (strcmp(cmd, "layout") == 0)
            printf("size %zu align %zu max %#lx\n", sizeof(sem_t), _Alignof(sem_t), (long)SEM_VALUE_MAX);
        else if (strcmp(cmd, "init") == 0)
            answer(sem_init(at(a), atoi(c), strtoul(b, NULL, 0)));
        else if (strcmp(cmd, "wait") == 0)
            answer(sem_wait(at(a)));
        else if (strcmp(cmd, "try") == 0)
            answer(sem_trywait(at(a)));
        else if (strcmp(cmd, "timed") == 0)
            answer(timedwait(at(a), atol(b)));
        else if (strcmp(cmd, "post") == 0)
            answer(sem_post(at(a)));
        else if (strcmp(cmd, "value") == 0 && sem_getvalue(at(a), &v) == 0)
            printf("ok %d\n", v);
        else if (strcmp(cmd, "pingpong") == 0)
            answer(pingpong(at(a), at(b), atol(c)));
        else if (strcmp(cmd, "open") == 0)
            answer(open_named(strcmp(a, "\"\"") ? a : "", b, strtoul(c, NULL, 8), strtoul(d, NULL, 0)));
        else if (strcmp(cmd, "close") == 0)
            answer(sem_close(named));
        else if (strcmp(cmd, "unlink") == 0)
            answer(sem_unlink(strcmp(a, "\"\"") ? a : ""));
        else if (strcmp(cmd, "umask") == 0)
            answer((umask(strtoul(a, NULL, 8)), 0));
        else
            printf("? %s", line);
    }
    return 0;
}
