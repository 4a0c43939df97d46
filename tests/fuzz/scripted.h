/*
 * The services of fuzz_core: in every callback they do what the input says, to the session that is called back or to
 * another one, and check what they are told.
 */
#ifndef TESTS_FUZZ_SCRIPTED_H
#define TESTS_FUZZ_SCRIPTED_H

#include "tests/fuzz/expected.h"
#include "tests/fuzz/fake_kernel.h"
#include "worker/session.h"

enum { SCRIPTED_SERVICES = 6, SCRIPTED_OUTPUT_SMALL = 4096, SCRIPTED_STATE_SIZE = sizeof(void *) };

extern const struct service *const scripted_services[SCRIPTED_SERVICES];

extern struct scripted {
    unsigned opened, ended;    /* sessions */
    unsigned started, stopped; /* sections */
    bool hurried;              /* somebody else than the end of the program has told the worker to leave */
} scripted;

/* The next byte of the program; 0 at its end. */
unsigned next_byte(void);

/* A number of bytes, most often a small one. */
size_t some_size(void);

uint32_t scripted_new_seed(void);

/* A client that types `seed` was accepted, or an upstream is connected to: what may be written to it. NULL: it is none
 * of theirs. */
struct expected *scripted_arrives(uint32_t seed);
struct expected *scripted_connects(uint32_t *seed);

/* ---- for services in other files ---- */

struct client;

/* In `open`; and in every other callback: whose session it is. */
struct client *scripted_open(struct session *session);
struct client *scripted_client(struct session *session);

/* These bytes were typed; by this client, next. */
void scripted_check_typed(uint32_t seed, uint64_t at, const char *bytes, size_t size);
void scripted_take(struct client *client, const char *bytes, size_t size);

/* What becomes of a client that asks over links. */
enum verdict scripted_ask(struct client *client);

/* service.close */
void scripted_close(struct session *session, enum close_reason reason);

/* The place of an answer, and what the test knows of it. */
struct place {
    struct reply *reply;
    struct client *client;
    unsigned number;
};

bool place_reserve(struct place *place, struct client *client);
void place_send(const struct place *place);
void place_end(const struct place *place);

/* ---- for the program ---- */

void scripted_begin(void);

/* The program is over: nobody holds anybody up any longer, but some answers never come. */
void scripted_let_go(void);

/* The worker has ended: what is still owed is ended now. */
void scripted_end(void);

#endif
