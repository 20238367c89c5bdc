/* spin.h: the bound. wait and post on the value of a sem_t without ever entering
   the kernel, for comparison: it shows what the memory itself allows, and takes a
   whole core while it waits. */
#ifndef SPIN_H
#define SPIN_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>

static inline void spin_pause(void)
{
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

/* The low word of sem_t is the value; nobody is registered as a waiter. */
static inline int spin_wait(sem_t *sem)
{
    _Atomic uint64_t *data = (_Atomic uint64_t *)sem;
    uint64_t d = atomic_load_explicit(data, memory_order_relaxed);

    for (;;) {
        if ((uint32_t)d != 0) {
            if (atomic_compare_exchange_weak(data, &d, d - 1))
                return 0;
            continue;
        }
        spin_pause();
        d = atomic_load_explicit(data, memory_order_relaxed);
    }
}

static inline int spin_post(sem_t *sem)
{
    atomic_fetch_add((_Atomic uint64_t *)sem, 1);
    return 0;
}

#endif
