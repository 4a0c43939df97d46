/*
 * The page, as page.html has it: the build makes an array of that file.
 */
#ifndef WORKER_SERVICES_STATUS_PAGE_H
#define WORKER_SERVICES_STATUS_PAGE_H

static const char page_html[] = {
#include "status_page.inc"
    , '\0'};

#endif
