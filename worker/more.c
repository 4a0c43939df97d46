#include "worker/more.h"
#include "worker/identity.h"
#include "worker/reply.h"
#include "worker/segment.h"
#include <stdlib.h>

struct session_more *more_of(struct session *session)
{
    if (!session->more && (session->more = calloc(1, sizeof(*session->more))))
        session->more->session = session;
    return session->more;
}

void more_free(struct session *session)
{
    if (!session->more)
        return;
    identity_forget(session->more);
    reply_forget_all(session);
    segment_clear(&session->more->output);
    free(session->more);
    session->more = NULL;
}
