/* transfer.c: the writer's and the reader's turns through one buffer. */
#include "half.h"
#include "spin.h"

#include <string.h>

#include "../../shared/shared.h"

struct transfer {
    struct shmbuf *shm;
    unsigned char data[BUF_SIZE];
};

#define WRITE(name, wait, post)                                  \
    static void name(struct half *h, void *state, size_t i)      \
    {                                                            \
        struct transfer *t = state;                              \
                                                                 \
        stamp(h, t->data, BUF_SIZE, i);                          \
        if (wait(&t->shm->wsem) == -1)                           \
            fail_errno("sem_wait");                              \
        memcpy(t->shm->buf, t->data, BUF_SIZE);                  \
        t->shm->cnt = BUF_SIZE;                                  \
        if (post(&t->shm->rsem) == -1)                           \
            fail_errno("sem_post");                              \
    }

#define READ(name, wait, post)                                   \
    static void name(struct half *h, void *state, size_t i)      \
    {                                                            \
        struct transfer *t = state;                              \
        int n;                                                   \
                                                                 \
        if (wait(&t->shm->rsem) == -1)                           \
            fail_errno("sem_wait");                              \
        n = t->shm->cnt;                                         \
        if (n < 0 || n > BUF_SIZE)                               \
            fail("cnt is %d", n);                                \
        memcpy(t->data, t->shm->buf, (size_t)n);                 \
        if (post(&t->shm->wsem) == -1)                           \
            fail_errno("sem_post");                              \
        check(h, t->data, (size_t)n, i);                         \
    }

WRITE(write_op, sem_wait, sem_post)
READ(read_op, sem_wait, sem_post)
WRITE(spin_write_op, spin_wait, spin_post)
READ(spin_read_op, spin_wait, spin_post)

static void start(struct half *h, int sample, op_fn *op)
{
    static struct transfer t;

    t.shm = memory(sizeof *t.shm);
    fill(t.data, BUF_SIZE);
    run(h, sample, op, &t);
}

void transfer_write(struct half *h) { start(h, 1, write_op); }
void transfer_read(struct half *h) { start(h, 0, read_op); }
void transfer_spin_write(struct half *h) { start(h, 1, spin_write_op); }
void transfer_spin_read(struct half *h) { start(h, 0, spin_read_op); }
