/* mutex.c: pthread_mutex_t between processes. The coordinator has initialised
   it: all zero, kind MUTEX_KIND. */
#include "half.h"

#include <errno.h>
#include <pthread.h>

#include "../../shared/shared.h"

static void lock_op(struct half *h, void *state, size_t i)
{
    struct counter *c = state;
    int err;

    (void)i;
    if ((err = pthread_mutex_lock((pthread_mutex_t *)&c->mutex)) != 0) {
        errno = err;
        fail_errno("pthread_mutex_lock");
    }
    c->total++;
    h->sum++;
    if ((err = pthread_mutex_unlock((pthread_mutex_t *)&c->mutex)) != 0) {
        errno = err;
        fail_errno("pthread_mutex_unlock");
    }
}

void mutex_lock(struct half *h)
{
    _Static_assert(sizeof(pthread_mutex_t) == PTHREAD_MUTEX_SIZE, "pthread_mutex_t");
    run(h, 1, lock_op, memory(sizeof(struct counter)));
}
