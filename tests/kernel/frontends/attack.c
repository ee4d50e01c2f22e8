/* Tries, as a program of a cell, to get at the kernel and the host; says what came of each try.
 *
 *     attack ABSTRACT_NAME PORT…
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LAST_PID = 70000, LAST_FD = 1024 };

static void say(const char *what, long result) {
    printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "done");
}

/* Processes that can be seen, and of which one may be signalled, that are not this one or PID 1. */
static void processes(void) {
    int reached = 0;
    for (pid_t pid = 2; pid < LAST_PID; pid++)
        if (pid != getpid() && kill(pid, 0) == 0)
            reached++;
    printf("others: %d\n", reached);
    printf("parent: %d\n", getsid(0) > 0 ? (int)getppid() : -1);
    int seen = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && (entry = readdir(proc));)
        if (atoi(entry->d_name) > 1 && atoi(entry->d_name) != getpid())
            seen++;
    printf("seen: %d\n", seen);
}

/* Descriptors of PID 1: whatever can be taken must be of no use outside. */
static void descriptors(void) {
    int pidfd = syscall(SYS_pidfd_open, 1, 0), internet = 0, directories = 0, opened = 0;
    for (int fd = 0; fd < LAST_FD; fd++) {
        int taken = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
        if (taken >= 0) {
            int domain = 0;
            socklen_t length = sizeof domain;
            if (getsockopt(taken, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain != AF_UNIX)
                internet++;
            struct stat status;
            if (fstat(taken, &status) == 0 && S_ISDIR(status.st_mode))
                directories++;
            close(taken);
        }
        char path[64];
        snprintf(path, sizeof path, "/proc/1/fd/%d", fd);
        struct stat status;
        if (stat(path, &status) == 0 && S_ISSOCK(status.st_mode) && open(path, O_RDWR) >= 0)
            opened++;
    }
    printf("internet: %d\ndirectories: %d\nopened: %d\n", internet, directories, opened);
    printf("traced 0: %s\n", ptrace(PTRACE_ATTACH, 0, 0, 0) < 0 ? "refused" : "done");
}

static void network(const char *name, int count, char **ports) {
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    strncpy(local.sun_path + 1, name, sizeof local.sun_path - 2);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
    say("abstract", connect(fd, (struct sockaddr *)&local, length));
    for (int i = 0; i < count; i++) {
        struct sockaddr_in remote = {.sin_family = AF_INET, .sin_port = htons(atoi(ports[i]))};
        remote.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        say("port", connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&remote, sizeof remote));
    }
    struct sockaddr_in far = {.sin_family = AF_INET, .sin_port = htons(80)};
    far.sin_addr.s_addr = inet_addr("192.0.2.1");
    say("network", connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&far, sizeof far));
}

static void mounts(void) {
    say("umount", umount2("/proc", MNT_DETACH));
    say("mount", mount("none", "/tmp", "tmpfs", 0, ""));
    say("chroot", chroot("/tmp"));
    say("setns", setns(open("/proc/1/ns/user", O_RDONLY), CLONE_NEWUSER));
    if (fork() == 0) {
        /* With a user namespace of its own a process may unmount, but not what it was given. */
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
            say("umount in another namespace", -1);
        else
            say("umount in another namespace", umount2("/proc", MNT_DETACH));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

static void terminals(void) {
    for (int fd = 0; fd < 3; fd++)
        ioctl(fd, TIOCSTI, "\n");
    int tty = open("/dev/tty", O_RDWR);
    for (const char *c = "echo typed-in\n"; tty >= 0 && *c; c++)
        ioctl(tty, TIOCSTI, c);
    struct stat mine = {0}, theirs = {0};
    for (int fd = 0; fd < 3; fd++)
        if (isatty(fd)) {
            fstat(fd, &mine);
            stat("/dev/pts/ptmx", &theirs);
            printf("terminal: %s\n", mine.st_dev == theirs.st_dev ? "of the sandbox" : "of the host");
        }
}

int main(int count, char **words) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (geteuid() != 1000 || access("/build", F_OK) != 0) {
        fputs("attack: only in a sandbox: it unmounts what it can\n", stderr);
        return 2;
    }
    processes();
    descriptors();
    network(words[1], count - 2, words + 2);
    mounts();
    terminals();
    long keyring = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
    printf("keyring: %ld\n", keyring < 0 ? 0 : keyring);
    printf("dumpable: %d\n", prctl(PR_GET_DUMPABLE));
    return 0;
}
