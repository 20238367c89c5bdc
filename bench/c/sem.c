/* sem.c: two semaphores, ping and pong. */
#include "half.h"
#include "spin.h"

#include <errno.h>

struct rally_memory {
    sem_t a, b;
    uint64_t count; /* both halves raise it in turn in the warm-up */
};

struct rally {
    volatile uint64_t *count;
    sem_t *mine, *peer;
};

static struct rally make(int first)
{
    struct rally_memory *m = memory(sizeof *m);

    return first ? (struct rally){&m->count, &m->a, &m->b} : (struct rally){&m->count, &m->b, &m->a};
}

static void count(struct rally *r, uint64_t n)
{
    uint64_t got = *r->count;

    *r->count = got + 1;
    if (got != n)
        fail("the count is %llu, want %llu", (unsigned long long)got, (unsigned long long)n);
}

static inline void wait_or_fail(sem_t *sem)
{
    while (sem_wait(sem) == -1)
        if (errno != EINTR)
            fail_errno("sem_wait");
}

static inline void post_or_fail(sem_t *sem)
{
    if (sem_post(sem) == -1)
        fail_errno("sem_post");
}

#define PING(name, wait, post)                                   \
    static void name(struct half *h, void *state, size_t i)      \
    {                                                            \
        struct rally *r = state;                                 \
                                                                 \
        if (h->phase == WARM)                                    \
            count(r, 2 * i);                                     \
        h->sum++;                                                \
        post(r->peer);                                           \
        wait(r->mine);                                           \
    }

#define PONG(name, wait, post)                                   \
    static void name(struct half *h, void *state, size_t i)      \
    {                                                            \
        struct rally *r = state;                                 \
                                                                 \
        wait(r->mine);                                           \
        if (h->phase == WARM)                                    \
            count(r, 2 * i + 1);                                 \
        h->sum++;                                                \
        post(r->peer);                                           \
    }

PING(ping_op, wait_or_fail, post_or_fail)
PONG(pong_op, wait_or_fail, post_or_fail)
PING(spin_ping_op, spin_wait, spin_post)
PONG(spin_pong_op, spin_wait, spin_post)

void sem_ping(struct half *h)
{
    struct rally r = make(1);

    run(h, 1, ping_op, &r);
}

void sem_pong(struct half *h)
{
    struct rally r = make(0);

    run(h, 0, pong_op, &r);
}

void spin_ping(struct half *h)
{
    struct rally r = make(1);

    run(h, 1, spin_ping_op, &r);
}

void spin_pong(struct half *h)
{
    struct rally r = make(0);

    run(h, 0, spin_pong_op, &r);
}
