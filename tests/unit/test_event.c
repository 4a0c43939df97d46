/*
 * The ring of events, read at once and followed.
 */
#include "common/event.h"
#include "tests/unit/unit.h"
#include <string.h>

static struct event_ring ring;
static struct event events[EVENTS_MAX];
static uint64_t last, lost;

static void begin(unsigned count)
{
    char text[16];

    memset(&ring, 0, sizeof(ring));
    last = lost = 0;
    for (unsigned i = 1; i <= count; i++) {
        snprintf(text, sizeof(text), "%u", i);
        event_add(&ring, i % 6, text);
    }
}

static void test_read(void)
{
    begin(0);
    CU_ASSERT_EQUAL(event_read(&ring, events), 0);
    CU_ASSERT_EQUAL(event_read_next(&ring, &last, &lost, events), 0);
    begin(100);
    CU_ASSERT_EQUAL(event_read(&ring, events), EVENTS_MAX);
    CU_ASSERT_STRING_EQUAL(events[0].text, "37");
    CU_ASSERT_STRING_EQUAL(events[EVENTS_MAX - 1].text, "100");
    CU_ASSERT_EQUAL(events[EVENTS_MAX - 1].level, 100 % 6);
}

static void test_follow(void)
{
    begin(3);
    CU_ASSERT_EQUAL(event_read_next(&ring, &last, &lost, events), 3);
    CU_ASSERT(last == 3 && lost == 0);
    CU_ASSERT_EQUAL(event_read_next(&ring, &last, &lost, events), 0);
    event_add(&ring, 0, "next");
    CU_ASSERT_EQUAL(event_read_next(&ring, &last, &lost, events), 1);
    CU_ASSERT_STRING_EQUAL(events[0].text, "next");
    for (unsigned i = 0; i < EVENTS_MAX + 5; i++)
        event_add(&ring, 0, "many");
    CU_ASSERT_EQUAL(event_read_next(&ring, &last, &lost, events), EVENTS_MAX);
    CU_ASSERT(last == 4 + EVENTS_MAX + 5 && lost == 5);
    last = 1000; /* another ring than the one that was read so far */
    CU_ASSERT_EQUAL(event_read_next(&ring, &last, &lost, events), 0);
    CU_ASSERT_EQUAL(lost, 0);
}

/* It is not there yet: what comes behind it waits for it, unless the reader gives it up. */
static void test_one_that_is_being_written(void)
{
    begin(3);
    atomic_store(&ring.places[2].id, 0);
    CU_ASSERT_EQUAL(event_read(&ring, events), 2);
    CU_ASSERT_EQUAL(event_read_next(&ring, &last, &lost, events), 1);
    CU_ASSERT(last == 1 && lost == 0);
    CU_ASSERT_EQUAL(event_read_next(&ring, &last, &lost, events), 0);
    CU_ASSERT(last == 1 && lost == 0);
    last++;
    CU_ASSERT_EQUAL(event_read_next(&ring, &last, &lost, events), 1);
    CU_ASSERT_STRING_EQUAL(events[0].text, "3");
    atomic_store(&ring.places[3].id, 3 + EVENTS_MAX); /* overwritten while it was looked at */
    last = 2;
    CU_ASSERT_EQUAL(event_read_next(&ring, &last, &lost, events), 0);
    CU_ASSERT(last == 3 && lost == 1);
}

static void test_text_has_an_end(void)
{
    begin(1);
    memset(ring.places[1].event.text, 'x', EVENT_TEXT_SIZE);
    CU_ASSERT_EQUAL(event_read_next(&ring, &last, &lost, events), 1);
    CU_ASSERT_EQUAL(strlen(events[0].text), EVENT_TEXT_SIZE - 1);
}

/* Whoever has written it may be no server at all. */
static void test_any_count(void)
{
    begin(3);
    for (uint64_t back = 0; back < 200; back++) {
        ring.count = UINT64_MAX - back;
        CU_ASSERT(event_read(&ring, events) <= EVENTS_MAX);
    }
    for (unsigned i = 0; i < EVENTS_MAX; i++) /* all that such a count lets it look for is there */
        ring.places[i].id = i;
    ring.count = EVENTS_MAX - 1;
    CU_ASSERT_EQUAL(event_read(&ring, events), EVENTS_MAX - 1);
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"read", test_read},
        {"follow", test_follow},
        {"one that is being written", test_one_that_is_being_written},
        {"text has an end", test_text_has_an_end},
        {"any count", test_any_count},
        {NULL, NULL},
    };
    return unit_main("event", tests);
}
