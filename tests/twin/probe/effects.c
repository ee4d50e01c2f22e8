/* What happens when the process tries what a build must not do, and what it may. */
#include "probe.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#define SYS_FCHMODAT2 452
#define SYS_SETXATTRAT 463
#define SYS_IO_URING_SETUP 425
#define X32 0x40000000

/* The old entry for 32-bit programs takes 32-bit pointers: those of a program linked at a low place. */
static char low_path[] = "try";

#ifdef __x86_64__
static void try_narrow(const char *key, int mode)
{
    char text[32];
    pid_t child = fork();
    if (child == 0) {
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(15), "b"(low_path), "c"(mode) : "memory");
        _exit(result < 0 ? -result : 0);
    }
    int status;
    waitpid(child, &status, 0);
    snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
    say(key, "%s", WIFSIGNALED(status) ? text : WEXITSTATUS(status) ? strerrorname_np(WEXITSTATUS(status)) : "ok");
}
#endif

void try_modes(void)
{
    const struct { const char *name; int bits; } modes[] = {
        {"plain", 0644}, {"setuid", 04755}, {"setgid", 02755}, {"both", 06755}, {"sticky", 01755}};
    int file = open(low_path, O_CREAT | O_RDWR, 0644);
    outcome("mode.file", file);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        char key[64];
        int bits = modes[i].bits;
#define KEY(call) (snprintf(key, sizeof key, "mode.%s.%s", call, modes[i].name), key)
#ifdef SYS_chmod
        outcome(KEY("chmod"), syscall(SYS_chmod, low_path, bits));
#endif
        outcome(KEY("fchmod"), syscall(SYS_fchmod, file, bits));
        outcome(KEY("fchmodat"), syscall(SYS_fchmodat, AT_FDCWD, low_path, bits));
        outcome(KEY("fchmodat2"), syscall(SYS_FCHMODAT2, AT_FDCWD, low_path, bits, 0));
#ifdef __x86_64__
        try_narrow(KEY("chmod as i386"), bits);
        outcome(KEY("chmod as x32"), syscall(X32 | SYS_chmod, low_path, bits));
#endif
        chmod(low_path, 0644);
    }
    close(file);
    unlink(low_path);
}

void try_attributes(void)
{
    char value[64];
    int file = open(low_path, O_CREAT | O_RDWR, 0644);
    outcome("attribute.set", setxattr(low_path, "user.a", "v", 1, 0));
    outcome("attribute.lset", lsetxattr(low_path, "user.a", "v", 1, 0));
    outcome("attribute.fset", fsetxattr(file, "user.a", "v", 1, 0));
    outcome("attribute.get", getxattr(low_path, "user.a", value, sizeof value));
    outcome("attribute.lget", lgetxattr(low_path, "user.a", value, sizeof value));
    outcome("attribute.fget", fgetxattr(file, "user.a", value, sizeof value));
    outcome("attribute.list", listxattr(low_path, value, sizeof value));
    outcome("attribute.llist", llistxattr(low_path, value, sizeof value));
    outcome("attribute.flist", flistxattr(file, value, sizeof value));
    outcome("attribute.remove", removexattr(low_path, "user.a"));
    struct { unsigned long value; unsigned size, flags; } argument = {(unsigned long)"v", 1, 0};
    outcome("attribute.setat", syscall(SYS_SETXATTRAT, AT_FDCWD, low_path, 0, "user.a", &argument, sizeof argument));
    outcome("attribute.acl", getxattr(low_path, "system.posix_acl_access", value, sizeof value));
    close(file);
    unlink(low_path);
}

static void try_node(const char *key, mode_t mode, dev_t device)
{
    outcome(key, mknod(low_path, mode, device));
    unlink(low_path);
}

void try_nodes(void)
{
    try_node("node.fifo", S_IFIFO | 0644, 0);
    try_node("node.socket", S_IFSOCK | 0644, 0);
    try_node("node.null", S_IFCHR | 0644, makedev(1, 3));
    try_node("node.disk", S_IFBLK | 0644, makedev(7, 0));
    try_node("node.whiteout", S_IFCHR | 0644, makedev(0, 0));
    try_node("node.setuid", S_IFREG | 04755, 0);
    int file = open(low_path, O_CREAT | O_RDWR, 06755);
    struct stat status;
    fstat(file, &status);
    say("node.opened with setuid", "%04o", status.st_mode & 07777);
    close(file);
    unlink(low_path);
    outcome("node.directory with setgid", mkdir(low_path, 02755));
    stat(low_path, &status);
    say("node.directory mode", "%04o", status.st_mode & 07777);
    rmdir(low_path);
    file = open(low_path, O_CREAT | O_RDWR, 0666);
    fstat(file, &status);
    say("node.new file", "%04o %d:%d", status.st_mode & 07777, status.st_uid, status.st_gid);
    outcome("node.chown to root", chown(low_path, 0, 0));
    outcome("node.chown to self", chown(low_path, getuid(), getgid()));
    outcome("node.link", link(low_path, "another"));
    outcome("node.exchange", renameat2(AT_FDCWD, low_path, AT_FDCWD, "another", RENAME_EXCHANGE));
    outcome("node.to /tmp", rename(low_path, "/tmp/try"));
    unlink("another");
    unlink("/tmp/try");
    close(file);
    unlink(low_path);
}

static void in_child(const char *key, int (*attempt)(void))
{
    pid_t child = fork();
    if (child == 0)
        _exit(attempt() < 0 ? errno : 0);
    int status;
    waitpid(child, &status, 0);
    say(key, "%s", WIFSIGNALED(status) ? "killed" : WEXITSTATUS(status) ? strerrorname_np(WEXITSTATUS(status)) : "ok");
}

static int nested(void) { return unshare(CLONE_NEWUSER | CLONE_NEWNS); }
static int nested_mount(void) { return nested() < 0 ? -1 : mount("none", "/tmp", "tmpfs", 0, NULL); }
static int nested_network(void) { return unshare(CLONE_NEWUSER | CLONE_NEWNET); }
static int new_mounts(void) { return unshare(CLONE_NEWNS); }
static int traced(void) { return ptrace(PTRACE_TRACEME, 0, 0, 0); }
static int root_again(void) { return setuid(0); }
static int changed_root(void) { return chroot("/tmp"); }
static int no_groups(void) { gid_t none; return syscall(SYS_setgroups, 0, &none); }
static int more_cores(void) { struct rlimit l = {RLIM_INFINITY, RLIM_INFINITY}; return setrlimit(RLIMIT_CORE, &l); }
static int better_nice(void) { return setpriority(PRIO_PROCESS, 0, -5); }
static int other_name(void) { return sethostname("elsewhere", 9); }

void try_privileges(void)
{
    outcome("privilege.mount", mount("none", "/tmp", "tmpfs", 0, NULL));
    outcome("privilege.unmount", umount2("/tmp", 0));
    in_child("privilege.nested namespaces", nested);
    in_child("privilege.nested mount", nested_mount);
    in_child("privilege.nested network", nested_network);
    in_child("privilege.new mount namespace", new_mounts);
    in_child("privilege.trace", traced);
    in_child("privilege.setuid 0", root_again);
    in_child("privilege.chroot", changed_root);
    in_child("privilege.setgroups", no_groups);
    in_child("privilege.core limit", more_cores);
    in_child("privilege.nice", better_nice);
    in_child("privilege.host name", other_name);
    int ring = syscall(SYS_IO_URING_SETUP, 0, NULL);
    outcome("privilege.io_uring", ring);
    outcome("privilege.bpf", syscall(SYS_bpf, 99, NULL, 0));
    outcome("privilege.unknown call", syscall(1000));
    outcome("privilege.signal to itself", kill(getpid(), 0));
    outcome("privilege.signal to all", kill(-1, 0));
}
