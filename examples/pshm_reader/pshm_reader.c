//go:build ignore

/* pshm_reader [NAME]: copy what pshm_writer puts into shared memory to standard
   output. The steps are numbered as in main.go. */

#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../shared/shared.h"

static const char *name = "/pshm_xfr";

static _Noreturn void fail(const char *call)
{
    fprintf(stderr, "pshm_reader: %s %s: %s\n", call, name, strerror(errno));
    exit(1);
}

int main(int argc, char *argv[])
{
    struct shmbuf *shmp;
    struct stat st;
    long long bytes, xfrs;
    int fd;

    if (argc > 2) {
        fprintf(stderr, "pshm_reader: want 0 to 1 arguments, got %d\nusage: pshm_reader [NAME]\n", argc - 1);
        return 1;
    }
    if (argc == 2)
        name = argv[1];
    /* [1] open the writer's object */
    fd = shm_open(name, O_RDWR, 0);
    if (fd == -1)
        fail("shm_open");
    /* [2] map it, if it is long enough */
    if (fstat(fd, &st) == -1)
        fail("fstat");
    errno = EINVAL;
    if (st.st_size < (off_t)sizeof *shmp)
        fail("mmap");
    shmp = mmap(NULL, sizeof *shmp, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shmp == MAP_FAILED)
        fail("mmap");

    for (bytes = 0, xfrs = 0;; xfrs++) {
        int n;

        /* [3] wait for our turn */
        if (sem_wait(&shmp->rsem) == -1)
            fail("sem_wait");
        /* [4] a turn of 0 bytes is the end of the data */
        n = shmp->cnt;
        errno = EINVAL;
        if (n < 0 || n > BUF_SIZE)
            fail("cnt");
        if (n == 0)
            break;
        bytes += n;
        /* [5] write out what is in the buffer */
        if (write(STDOUT_FILENO, shmp->buf, n) != n)
            fail("write");
        /* [6] give the writer a turn */
        if (sem_post(&shmp->wsem) == -1)
            fail("sem_post");
    }
    /* [7] let the writer know that we are finished */
    if (sem_post(&shmp->wsem) == -1)
        fail("sem_post");
    fprintf(stderr, "Received %lld bytes (%lld xfrs)\n", bytes, xfrs);
    return 0;
}
