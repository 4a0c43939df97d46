#include "worker/more.h"
#include <stdlib.h>

struct session_more *more_of(struct session *session)
{
    if (!session->more && (session->more = calloc(1, sizeof(*session->more))))
        session->more->session = session;
    return session->more;
}

void more_free(struct session *session)
{
    free(session->more);
    session->more = NULL;
}
