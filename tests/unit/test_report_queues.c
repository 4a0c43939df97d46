/*
 * Figures of accept queues: those that the kernel tells of exactly these sockets, asked for seldom; none where it tells
 * nothing.
 *
 *   listener 0, of main: 127.0.0.1:1, slots 0 and 1; [::1]:2, slot 0      listener 1, of bank: unix, shared; 127.0.0.1:3, slot 0
 */
#include "common/report_queues.h"
#include "tests/unit/unit.h"
#include <sys/socket.h>
#include <time.h>

#include <bsd/string.h>

enum { QUEUES = 5, GENERATION = 7 };

static struct queue_record record;
static struct queue_table table;
static struct master_state state;
static struct report_queues queues;
static uint64_t time_ms = 5000000;

int clock_gettime(clockid_t id, struct timespec *now)
{
    (void)id;
    *now = (struct timespec){.tv_sec = (time_t)(time_ms / 1000), .tv_nsec = (long)(time_ms % 1000) * 1000000};
    return 0;
}

/* ---- the kernel ---- */

static const struct queue_place places[QUEUES] = {
    {.slot = 0}, {.slot = 1}, {.address = 1}, {.listener = 1, .slot = QUEUE_SHARED}, {.listener = 1, .address = 1}};
static const int families[QUEUES] = {AF_INET, AF_INET, AF_INET6, AF_UNIX, AF_INET};
static unsigned asked[AF_MAX];
static int failing = AF_UNSPEC; /* this family */
static uint32_t wrong_inode;    /* added to all of them */

static struct sock_identity identity_of(unsigned queue)
{
    return (struct sock_identity){.cookie = 1000 - queue, .inode = 50 + queue};
}

/* Queue i has 10 + i clients, room for 100 + i, and has dropped i; there are others, too. */
int sock_diag_each(int family,
                   void (*found)(void *user, const struct sock_identity *identity, const struct sock_queue *queue),
                   void *user)
{
    asked[family]++;
    if (family == failing) {
        errno = ENOENT;
        return -1;
    }
    for (unsigned i = 0; i < 2 * QUEUES; i++) {
        struct sock_identity identity = identity_of(i);
        const struct sock_queue figures = {
            .length = 10 + i, .limit = 100 + i, .drops = i, .has_drops = family != AF_UNIX};
        identity.inode += wrong_inode;
        if (i >= QUEUES || families[i] == family)
            found(user, &identity, &figures);
    }
    return 0;
}

/* ---- the server ---- */

static void publish(void)
{
    table.version.changes++;
    queue_table_write(&record, &table);
}

static void begin(void)
{
    time_ms += 3600 * 1000; /* nothing that was noted before counts */
    failing = AF_UNSPEC;
    wrong_inode = 0;
    memset(asked, 0, sizeof(asked));
    memset(&queues, 0, sizeof(queues));
    memset(&state, 0, sizeof(state));
    state.generation = table.version.generation = GENERATION;
    state.listener_count = 2;
    state.listeners[0].address_count = state.listeners[1].address_count = 2;
    strlcpy(state.listeners[0].pool, "main", STATE_POOL_SIZE);
    strlcpy(state.listeners[1].pool, "bank", STATE_POOL_SIZE);
    strlcpy(state.listeners[0].addresses[0], "127.0.0.1:1", SOCK_TEXT_SIZE);
    strlcpy(state.listeners[0].addresses[1], "[::1]:2", SOCK_TEXT_SIZE);
    strlcpy(state.listeners[1].addresses[0], "unix:/x", SOCK_TEXT_SIZE);
    strlcpy(state.listeners[1].addresses[1], "127.0.0.1:3", SOCK_TEXT_SIZE);
    table.count = table.total = QUEUES;
    for (unsigned i = 0; i < QUEUES; i++)
        table.entries[i] = (struct queue_entry){.identity = identity_of(i), .place = places[i]};
    publish();
}

static void take(void)
{
    report_queues_take(&record, &state, &queues);
}

/* ---- tests ---- */

static void test_figures(void)
{
    begin();
    take();
    CU_ASSERT(queues.count == QUEUES && queues.total == QUEUES);
    for (unsigned i = 0; i < QUEUES; i++) {
        const struct report_queue *queue = &queues.all[i];
        CU_ASSERT_EQUAL(memcmp(&queue->place, &places[i], sizeof(places[i])), 0);
        CU_ASSERT(queue->is_known && queue->figures.length == 10 + i && queue->figures.limit == 100 + i);
        CU_ASSERT(queue->figures.drops == i && queue->figures.has_drops == (families[i] != AF_UNIX));
    }
    CU_ASSERT(asked[AF_INET] == 1 && asked[AF_INET6] == 1 && asked[AF_UNIX] == 1);
}

/* A cookie of another network namespace may be the same number. */
static void test_another_socket(void)
{
    begin();
    wrong_inode = 1;
    take();
    for (unsigned i = 0; i < QUEUES; i++)
        CU_ASSERT_FALSE(queues.all[i].is_known);
}

/* Families that no queue is of cost nothing. */
static void test_only_what_there_is(void)
{
    begin();
    table.count = 2;
    publish();
    take();
    CU_ASSERT(asked[AF_INET] == 1 && asked[AF_INET6] == 0 && asked[AF_UNIX] == 0);
    CU_ASSERT(queues.count == 2 && queues.total == QUEUES); /* the others have had no room in the table */
}

static void test_once_a_second(void)
{
    begin();
    take();
    time_ms += REPORT_QUEUES_FRESH_MS - 1;
    take();
    CU_ASSERT(asked[AF_INET] == 1 && queues.count == QUEUES && queues.all[0].is_known);
    time_ms++;
    take();
    CU_ASSERT_EQUAL(asked[AF_INET], 2);
    publish(); /* other queues: what was told of the former ones is worth nothing */
    take();
    CU_ASSERT_EQUAL(asked[AF_INET], 3);
}

/* No figure is better than a zero that nobody knows; and the others are there. */
static void test_a_kernel_that_does_not_tell(void)
{
    begin();
    failing = AF_UNIX;
    take();
    CU_ASSERT(queues.all[2].is_known && !queues.all[3].is_known && queues.all[4].is_known);
    const struct report_queue_sum sum = report_queues_of_listener(&queues, 1);
    CU_ASSERT(sum.is_known && sum.length == 14);
    time_ms += REPORT_QUEUES_RETRY_MS - 1;
    failing = AF_UNSPEC;
    take();
    CU_ASSERT(asked[AF_UNIX] == 1 && asked[AF_INET] == 2 && !queues.all[3].is_known);
    time_ms += REPORT_QUEUES_FRESH_MS;
    take();
    CU_ASSERT(asked[AF_UNIX] == 2 && queues.all[3].is_known);
}

/* State and table were read while a generation took over: the listeners of one are not those of the other. */
static void test_another_generation(void)
{
    begin();
    take();
    state.generation++;
    take();
    CU_ASSERT(queues.count == 0 && queues.total == 0 && asked[AF_INET] == 1);
    state.generation--;
    atomic_fetch_add(&record.sequence, 1); /* and this one is being written */
    take();
    CU_ASSERT(queues.count == 0 && asked[AF_INET] == 1);
    publish();
    take();
    CU_ASSERT(queues.count == QUEUES && asked[AF_INET] == 2);
}

/* Whoever has written the table: no place leads out of the state. */
static void test_forged_places(void)
{
    begin();
    table.entries[0].place.listener = 2;
    table.entries[1].place.address = 2;
    table.entries[2].place = (struct queue_place){UINT8_MAX, UINT8_MAX, UINT16_MAX};
    publish();
    take();
    CU_ASSERT_EQUAL_FATAL(queues.count, 2);
    CU_ASSERT(queues.all[0].place.slot == QUEUE_SHARED && queues.all[0].figures.length == 13);
    CU_ASSERT(queues.all[1].is_known && queues.all[1].figures.length == 14);
}

static void test_room(void)
{
    begin();
    for (unsigned i = 0; i < QUEUES_MAX; i++)
        CU_ASSERT_PTR_NOT_NULL_FATAL(report_queues_add(&queues, &places[0]));
    CU_ASSERT_PTR_NULL(report_queues_add(&queues, &places[0]));
    CU_ASSERT(queues.count == QUEUES_MAX && queues.total == QUEUES_MAX + 1);
}

static void test_sums(void)
{
    const struct state_worker first = {.pool = "main"}, second = {.pool = "main", .id = 1},
                              third = {.pool = "main", .id = 2}, bank = {.pool = "bank"};

    begin();
    take();
    struct report_queue_sum sum = report_queues_of_listener(&queues, 0);
    CU_ASSERT(sum.is_known && sum.has_drops && sum.length == 33 && sum.drops == 3);
    sum = report_queues_of_listener(&queues, 1);
    CU_ASSERT(sum.is_known && sum.has_drops && sum.length == 27 && sum.drops == 4);
    sum = report_queues_of_worker(&queues, &state, &first);
    CU_ASSERT(sum.is_known && sum.length == 22 && sum.drops == 2);
    sum = report_queues_of_worker(&queues, &state, &second);
    CU_ASSERT(sum.is_known && sum.length == 11 && sum.drops == 1);
    sum = report_queues_of_worker(&queues, &state, &bank); /* without what it shares */
    CU_ASSERT(sum.is_known && sum.length == 14 && sum.drops == 4);
    sum = report_queues_of_worker(&queues, &state, &third);
    CU_ASSERT_FALSE(sum.is_known || sum.has_drops);
    sum = report_queues_of_worker(NULL, &state, &first);
    CU_ASSERT_FALSE(sum.is_known || report_queues_of_listener(NULL, 0).is_known);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"figures", test_figures},
        {"another socket", test_another_socket},
        {"only what there is", test_only_what_there_is},
        {"once a second", test_once_a_second},
        {"a kernel that does not tell", test_a_kernel_that_does_not_tell},
        {"another generation", test_another_generation},
        {"forged places", test_forged_places},
        {"room", test_room},
        {"sums", test_sums},
        {0},
    };
    return unit_main("report queues", tests);
}
