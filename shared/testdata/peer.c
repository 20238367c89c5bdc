/* peer FILE: carries out one command a line on a mapped file, with glibc's
   semaphores and mutexes and the layouts of shared.h, and answers each with a
   line: "ok", "ok SOMETHING" or an errno. The Go test binary has a role that
   does the same. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../shared.h"

static void *mem;

static void answer(int err)
{
    puts(err == 0 ? "ok" : strerrorname_np(err));
}

static void layout(void)
{
    printf("queue %d %d %d lock %zu empty %zu full %zu current %zu slots %zu map %zu\n",
        QUEUE_SIZE, QUEUE_SLOTS, SLOT_SIZE,
        offsetof(struct queue, lock), offsetof(struct queue, empty), offsetof(struct queue, full),
        offsetof(struct queue, current), offsetof(struct queue, slots),
        offsetof(struct queue, slots) + sizeof(((struct queue *)0)->slots));
    printf("transfer %zu %d wsem %zu rsem %zu cnt %zu buf %zu\n",
        sizeof(struct shmbuf), BUF_SIZE, offsetof(struct shmbuf, wsem), offsetof(struct shmbuf, rsem),
        offsetof(struct shmbuf, cnt), offsetof(struct shmbuf, buf));
    printf("mutex %zu %zu %d total %zu\n",
        sizeof(((struct mutex *)0)->word), sizeof(pthread_mutex_t), PTHREAD_MUTEX_SIZE,
        offsetof(struct counter, total));
}

/* The queue, as the textbook's class has it: one byte of a message more and it
   would spill, and nobody looks at current. */

static void queue_init(struct queue *q)
{
    sem_init(&q->lock, 1, 1);
    sem_init(&q->empty, 1, 0);
    sem_init(&q->full, 1, QUEUE_SLOTS);
    q->current = 0;
}

static void enqueue(struct queue *q, const char *msg)
{
    sem_wait(&q->full);
    sem_wait(&q->lock);
    q->current += 1;
    memset(q->slots[q->current], 0, SLOT_SIZE);
    memcpy(q->slots[q->current], msg, strlen(msg));
    sem_post(&q->lock);
    sem_post(&q->empty);
}

static void dequeue(struct queue *q, char *msg)
{
    sem_wait(&q->empty);
    sem_wait(&q->lock);
    memcpy(msg, q->slots[q->current], SLOT_SIZE);
    q->current -= 1;
    sem_post(&q->lock);
    sem_post(&q->full);
}

static int try_enqueue(struct queue *q, const char *msg)
{
    if (sem_trywait(&q->full) != 0)
        return errno;
    sem_post(&q->full);
    enqueue(q, msg);
    return 0;
}

static int try_dequeue(struct queue *q, char *msg)
{
    if (sem_trywait(&q->empty) != 0)
        return errno;
    sem_post(&q->empty);
    dequeue(q, msg);
    return 0;
}

/* The writer and the reader of the slides, between a file and the buffer. */

static int transfer(struct shmbuf *b, const char *path, int writing)
{
    int fd = open(path, writing ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return errno;
    int n;
    do {
        sem_wait(writing ? &b->wsem : &b->rsem);
        if (writing)
            n = b->cnt = read(fd, b->buf, BUF_SIZE);
        else if ((n = b->cnt) != 0 && write(fd, b->buf, n) != n)
            return EIO;
        sem_post(writing ? &b->rsem : &b->wsem);
    } while (n != 0);
    if (writing)
        sem_wait(&b->wsem); /* the reader has finished */
    close(fd);
    return 0;
}

static int mutex_init(pthread_mutex_t *m, const char *kind)
{
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    if (strcmp(kind, "robust") == 0)
        pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    else if (strcmp(kind, "recursive") == 0)
        pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);
    else if (strcmp(kind, "errorcheck") == 0)
        pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ERRORCHECK);
    return pthread_mutex_init(m, &a);
}

static int timedlock(pthread_mutex_t *m, long ms)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += ms % 1000 * 1000000;
    ts.tv_sec += ms / 1000 + ts.tv_nsec / 1000000000;
    ts.tv_nsec %= 1000000000;
    return pthread_mutex_timedlock(m, &ts);
}

static int count(pthread_mutex_t *m, volatile uint64_t *total, long n)
{
    for (long i = 0; i < n; i++) {
        int err = pthread_mutex_lock(m);
        if (err == EOWNERDEAD)
            err = pthread_mutex_consistent(m);
        if (err != 0)
            return err;
        *total = *total + 1;
        if ((err = pthread_mutex_unlock(m)) != 0)
            return err;
    }
    return 0;
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
    pthread_mutex_t *mutex = mem;
    volatile uint64_t *total = &((struct counter *)mem)->total;
    setvbuf(stdout, NULL, _IOLBF, 0);
    char line[1024];
    while (fgets(line, sizeof line, stdin)) {
        char cmd[32] = "", a[600] = "";
        sscanf(line, "%31s %599s", cmd, a);
        char msg[SLOT_SIZE + 1] = "";
        if (strcmp(cmd, "layout") == 0) {
            layout();
        } else if (strcmp(cmd, "queue") == 0) {
            queue_init(mem);
            puts("ok");
        } else if (strcmp(cmd, "enqueue") == 0) {
            enqueue(mem, a);
            puts("ok");
        } else if (strcmp(cmd, "tryenqueue") == 0) {
            answer(try_enqueue(mem, a));
        } else if (strcmp(cmd, "dequeue") == 0) {
            dequeue(mem, msg);
            printf("ok %s\n", msg);
        } else if (strcmp(cmd, "trydequeue") == 0) {
            int err = try_dequeue(mem, msg);
            if (err)
                answer(err);
            else
                printf("ok %s\n", msg);
        } else if (strcmp(cmd, "produce") == 0) {
            int from = 0, to = 0;
            sscanf(a, "%d-%d", &from, &to);
            for (int i = from; i < to; i++) {
                char m[SLOT_SIZE];
                snprintf(m, sizeof m, "%d", i);
                enqueue(mem, m);
            }
            puts("ok");
        } else if (strcmp(cmd, "consume") == 0) {
            for (long i = atol(a); i > 0; i--) {
                dequeue(mem, msg);
                puts(msg);
            }
        } else if (strcmp(cmd, "transfer") == 0) {
            struct shmbuf *b = mem;
            sem_init(&b->rsem, 1, 0);
            sem_init(&b->wsem, 1, 1);
            puts("ok");
        } else if (strcmp(cmd, "write") == 0 || strcmp(cmd, "read") == 0) {
            answer(transfer(mem, a, cmd[0] == 'w'));
        } else if (strcmp(cmd, "mutex") == 0) {
            answer(mutex_init(mutex, a));
        } else if (strcmp(cmd, "lock") == 0) {
            answer(pthread_mutex_lock(mutex));
        } else if (strcmp(cmd, "trylock") == 0) {
            answer(pthread_mutex_trylock(mutex));
        } else if (strcmp(cmd, "timedlock") == 0) {
            answer(timedlock(mutex, atol(a)));
        } else if (strcmp(cmd, "unlock") == 0) {
            answer(pthread_mutex_unlock(mutex));
        } else if (strcmp(cmd, "consistent") == 0) {
            answer(pthread_mutex_consistent(mutex));
        } else if (strcmp(cmd, "count") == 0) {
            answer(count(mutex, total, atol(a)));
        } else {
            printf("? %s", line);
        }
    }
    return 0;
}
