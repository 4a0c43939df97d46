/*
 * Files in folders that others may write to. A path is a name, not a thing: what it leads to may have been replaced
 * since. So a file is known by its device and inode, it is made under a name that nobody can guess, and it is removed
 * only while its path still leads to it.
 */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* Which file it is. Valid only while somebody holds it open (or bound): an inode that is free is used again. */
struct file_id {
    dev_t device;
    ino_t inode; /* 0: no file */
};

struct file_id file_id_of(const struct stat *status);

/* True when `path` itself, not what it links to, is this file. */
bool file_is(const char *path, const struct file_id *id);

/* True when nothing has this name. False also when that cannot be found out. */
bool file_is_absent(const char *path);

/*
 * True when both paths lead to one file, in whatever spelling, by links, or by another name of it. Where there is no
 * file yet, its folder and its name tell.
 */
bool file_is_same(const char *a, const char *b);

/*
 * True for a path that is absent, or a regular file: one that may be replaced. False with a sentence in `why`: a link,
 * device, FIFO, socket or folder is somebody else's, and stays. Opens nothing, so it does not block.
 */
bool file_is_replaceable(const char *path, char *why, size_t why_size);

/* Write a random name in the folder of `path` into `name`, at most `limit` characters (at least those of `path`). */
void file_random_name(const char *path, size_t limit, char *name);

/*
 * Create an empty regular file beside `path`, under a random name that is written to `name` (PATH_MAX). It is new:
 * nothing that exists is opened, and no link is followed. Returns the descriptor, or -1 with errno.
 */
int file_create_beside(const char *path, mode_t mode, char *name);

/*
 * Make the directory that `path` is to be in, with `mode`, unless it is there. -1 with errno: EPERM when it is there, but
 * another user than root or this one has made it, or may write to it; ENOTDIR also when it is a link.
 */
int file_make_folder_of(const char *path, mode_t mode);

/* Give the file `from` the name `to`, which nothing has. 0, or -1 with errno: EEXIST when something has it. */
int file_place(const char *from, const char *to);

/* Remove `path` if it is this file. 0, or -1 with errno: ESTALE when it is another one, which stays. */
int file_remove(const char *path, const struct file_id *id);

#endif
