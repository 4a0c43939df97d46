/*
 * Inboxes: their order, whether they are shut, and what is left of one that is closed.
 */
#include "master/inbox.h"
#include "tests/unit/unit.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct inbox one, two;

static void begin(void)
{
    CU_ASSERT_EQUAL_FATAL(inbox_open(&one), 0);
    CU_ASSERT_EQUAL_FATAL(inbox_open(&two), 0);
}

static void end(void)
{
    inbox_close(&one);
    inbox_close(&two);
    CU_ASSERT_TRUE(TAILQ_EMPTY(&inboxes));
}

static void test_order(void)
{
    begin();
    CU_ASSERT_PTR_EQUAL(TAILQ_FIRST(&inboxes), &one);
    CU_ASSERT(one.number > 0 && two.number == one.number + 1 && inbox_newest() == two.number);
    uint32_t last = two.number;
    inbox_close(&one);
    inbox_close(&one); /* nothing happens */
    CU_ASSERT_EQUAL_FATAL(inbox_open(&one), 0);
    CU_ASSERT_EQUAL(one.number, last + 1);
    CU_ASSERT_PTR_EQUAL(TAILQ_NEXT(&two, link), &one);
    end();
}

static void test_records(void)
{
    char text[8];

    begin();
    CU_ASSERT_EQUAL(send(one.writer, "ab", 2, 0), 2);
    CU_ASSERT_EQUAL(send(one.writer, "c", 1, 0), 1);
    CU_ASSERT_FALSE(inbox_is_shut(&one)); /* also while something waits */
    CU_ASSERT_EQUAL(recv(one.reader, text, sizeof(text), 0), 2);
    CU_ASSERT_EQUAL(recv(one.reader, text, sizeof(text), 0), 1);
    CU_ASSERT_EQUAL(recv(one.reader, text, sizeof(text), 0), -1); /* it does not block */
    end();
}

/* A worker can do that, with its own inbox and with those of siblings. */
static void test_shut(void)
{
    begin();
    CU_ASSERT_FALSE(inbox_is_shut(&one));
    CU_ASSERT_EQUAL(shutdown(one.reader, SHUT_RDWR), 0);
    CU_ASSERT_EQUAL(shutdown(two.writer, SHUT_RDWR), 0);
    CU_ASSERT_TRUE(inbox_is_shut(&one));
    CU_ASSERT_TRUE(inbox_is_shut(&two));
    int reader = one.reader;
    inbox_close(&one);
    CU_ASSERT_EQUAL(fcntl(reader, F_GETFD), -1);
    CU_ASSERT_FALSE(inbox_is_shut(&one)); /* it is not open */
    end();
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"order", test_order},
        {"records", test_records},
        {"shut", test_shut},
        {0},
    };
    return unit_main("inbox", tests);
}
