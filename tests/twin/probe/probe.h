/* A builder that tells all it can observe, one `key = value` a line, and then fails. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* Values are escaped: a line of output is a line of the log, whatever bytes were found. */
void say(const char *key, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* `ok`, or the name of errno; for calls that answer -1 or nothing of importance. */
void outcome(const char *key, long result);

/* A whole file, ended by 0, in memory that the caller keeps; NULL, with errno, if it cannot be read. */
char *contents(const char *path, size_t *length);

/* Is this the root of a machine, and not one that was made for a build? */
int on_host(void);

/* One of this program's inputs that is a directory. */
const char *directory_input(void);

void tell_identity(void);
void tell_process(char **argv);
void tell_descriptors(void);
void tell_mounts(void);
void tell_tree(void);
void tell_files(void);
void tell_network(void);
void tell_environment(char **environment);
void try_modes(void);
void try_attributes(void);
void try_nodes(void);
void try_privileges(void);
void try_sockets(void);
void try_writes(void);
void try_inputs(void);
void try_terminals(void);
