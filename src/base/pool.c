/* A pool of sleeping threads: see pool.h. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "base/pool.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

typedef struct member {
    struct ath_pool *pool;
    int index;
    pthread_t thread;
} member;

struct ath_pool {
    int threads;
    member *others; /* workers 1 .. threads-1 */
    int started;    /* of the others */
    pthread_mutex_t lock;
    pthread_cond_t begin, end;
    void (*fn)(void *self, int worker);
    void *self;
    unsigned round; /* counts calls */
    bool open;      /* who wakes may still join the round */
    int joined, running;
    bool quit;
};

static void *work(void *argument) {
    const member *m = argument;
    ath_pool *p = m->pool;
    unsigned seen = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while ((p->round == seen || !p->open) && !p->quit) pthread_cond_wait(&p->begin, &p->lock);
        if (p->quit) break;
        seen = p->round;
        p->joined++;
        p->running++;
        pthread_mutex_unlock(&p->lock);
        p->fn(p->self, m->index);
        pthread_mutex_lock(&p->lock);
        if (--p->running == 0) pthread_cond_signal(&p->end);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static int cores(void) {
    cpu_set_t set;
    const int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? n : 1;
}

ath_status ath_pool_create(ath_pool **out, int threads, ath_err *err) {
    *out = NULL;
    ath_pool *p = calloc(1, sizeof *p);
    if (!p) return ath_fail(err, ATH_E_MEM, "out of memory for threads");
    p->threads = threads > 0 ? threads : cores();
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->begin, NULL);
    pthread_cond_init(&p->end, NULL);
    p->others = calloc((size_t)p->threads, sizeof *p->others);
    bool ok = p->others != NULL;
    while (ok && p->started < p->threads - 1) {
        member *m = &p->others[p->started];
        *m = (member){.pool = p, .index = p->started + 1};
        ok = pthread_create(&m->thread, NULL, work, m) == 0;
        if (ok) p->started++;
    }
    if (!ok) {
        ath_pool_destroy(p);
        return ath_fail(err, ATH_E_MEM, "threads: %d could not be started", threads);
    }
    *out = p;
    return ATH_OK;
}

void ath_pool_destroy(ath_pool *p) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->quit = true;
    pthread_cond_broadcast(&p->begin);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->started; i++) pthread_join(p->others[i].thread, NULL);
    pthread_cond_destroy(&p->begin);
    pthread_cond_destroy(&p->end);
    pthread_mutex_destroy(&p->lock);
    free(p->others);
    free(p);
}

int ath_pool_threads(const ath_pool *p) { return p->threads; }

/* A round; `all`: that every worker runs, else that nobody does any more. */
static void run_round(ath_pool *p, bool all, void (*fn)(void *self, int worker), void *self) {
    pthread_mutex_lock(&p->lock);
    p->fn = fn;
    p->self = self;
    p->joined = 0;
    p->open = true;
    p->round++;
    pthread_cond_broadcast(&p->begin);
    pthread_mutex_unlock(&p->lock);
    fn(self, 0);
    pthread_mutex_lock(&p->lock);
    if (!all) p->open = false;
    while (p->running || (all && p->joined < p->started)) pthread_cond_wait(&p->end, &p->lock);
    p->open = false;
    pthread_mutex_unlock(&p->lock);
}

void ath_pool_run(ath_pool *p, void (*fn)(void *self, int worker), void *self) { run_round(p, true, fn, self); }
void ath_pool_help(ath_pool *p, void (*fn)(void *self, int worker), void *self) { run_round(p, false, fn, self); }

typedef struct sharing {
    atomic_int next;
    int parts;
    void (*fn)(void *self, int part);
    void *self;
} sharing;

static void take_parts(void *argument, int worker) {
    (void)worker;
    sharing *s = argument;
    for (int part; (part = atomic_fetch_add(&s->next, 1)) < s->parts;) s->fn(s->self, part);
}

void ath_pool_each(ath_pool *p, int parts, void (*fn)(void *self, int part), void *self) {
    sharing s = {.parts = parts, .fn = fn, .self = self};
    ath_pool_help(p, take_parts, &s);
}
