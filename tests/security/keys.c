/* Tries, as a program inside, to get at the keys of who entered; says what came of each try.
 *
 *     keys KEYRING…
 *
 * with the numbers of keyrings outside. Exchanges nothing but what it finds in them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/keyctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST = 64 };

static void say(const char *what, long result) {
    if (result < 0)
        printf("%s: %s\n", what, strerrorname_np(errno));
    else
        printf("%s: done\n", what);
}

/* Whatever is in a keyring, read; and one more key put into it. */
static void take(const char *name, long ring) {
    char what[64], text[MOST] = {0};
    int32_t keys[MOST];
    syscall(SYS_keyctl, KEYCTL_LINK, ring, KEY_SPEC_PROCESS_KEYRING);
    long length = syscall(SYS_keyctl, KEYCTL_READ, ring, keys, sizeof keys);
    snprintf(what, sizeof what, "list %s", name);
    say(what, length);
    for (long i = 0; i < length / (long)sizeof *keys; i++)
        if (syscall(SYS_keyctl, KEYCTL_READ, keys[i], text, sizeof text - 1) >= 0)
            printf("read: %s\n", text);
    snprintf(what, sizeof what, "plant %s", name);
    say(what, syscall(SYS_add_key, "user", "planted", "x", 1, ring));
}

int main(int count, char **words) {
    take("session", KEY_SPEC_SESSION_KEYRING);
    for (int i = 1; i < count; i++)
        take(words[i], atol(words[i]));
    say("search", syscall(SYS_request_key, "user", "nbs-tests-session", NULL, 0));
    return 0;
}
